"""Options of the tasks, as Slicer shows them (a list is a drop-down, a boolean a box) and as requests bring them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.bundle import bundle_folders
from common.errors import InputError, nearest
from common.switches import switch
from tools.monailabel_app.refused import RefusedError

#: What requests of the protocol's clients carry besides; nothing here is read but the two of the result's format.
PROTOCOL = {
    "client_id", "result_extension", "result_dtype", "result_compress", "device", "logging", "multi_gpu", "gpus",
    "max_workers", "max_batch_size", "description",
}  # fmt: skip
#: Read by the application and not by a task.
OF_APPLICATION = {"save_label", "label_tag"}
#: Bundles that come first in the drop-down: small, and the default on a processor.
_FIRST = ("voxelmorph", "mambamorph")


@dataclass(frozen=True)
class Option:
    """One option: its values, the first of which is the default, or a box; and one line of help."""

    name: str
    values: tuple[str, ...] | bool
    help: str

    @property
    def config(self) -> list[str] | bool:
        """What ``info`` says of it."""
        return self.values if isinstance(self.values, bool) else list(self.values)

    def read(self, value: Any) -> str | bool:
        """The value that a request brought.

        Raises:
            RefusedError: none of the values.
        """
        if isinstance(value, Sequence) and not isinstance(value, str):
            value = value[0] if len(value) == 1 else str(list(value))
        if isinstance(self.values, bool):
            try:
                return switch(value, self.name)
            except InputError as error:
                raise RefusedError(400, str(error)) from error
        if value not in self.values:
            known = ", ".join(self.values[:12]) + (", ..." if len(self.values) > 12 else "")
            raise RefusedError(400, f"{self.name}: expected one of {known or 'none'}, got {str(value)[:80]!r}")
        return str(value)


def read_options(options: Sequence[Option], request: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a task's options; what the request leaves out has its default.

    Raises:
        RefusedError: nothing to choose from, a value that is none of an option's, or a parameter that nobody reads.
    """
    known = {option.name for option in options}
    for name in request:
        if name not in known | PROTOCOL | OF_APPLICATION:
            raise RefusedError(400, f"unknown parameter {str(name)[:80]!r}{nearest(str(name), known, prefix='')}")
    return {option.name: option.read(request.get(option.name, _default(option))) for option in options}


def _default(option: Option) -> Any:
    if isinstance(option.values, bool):
        return option.values
    return option.values[0] if option.values else "none, because there is nothing to choose"


def bundle_names() -> tuple[str, ...]:
    """Names of the bundles with weights, installed ones included; the smallest first."""
    found = [name for name, folder in bundle_folders().items() if (folder / "models" / "model.pt").is_file()]
    return tuple(sorted(found, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)))


def registration_options() -> tuple[Option, ...]:
    """Options that every task has."""
    return (
        Option("bundle", bundle_names(), "the network that registers"),
        Option(
            "alignment", ("auto", "rigid", "affine", "none"), "linear map that comes first; none: images are aligned"
        ),
        Option("refinement", ("auto", "fast", "accurate", "off"), "fits the network's field to these two images"),
        Option("contrast", ("auto", "same", "different"), "whether both images show tissues alike, as T1 and T1 do"),
        Option("brain", ("auto", "none"), "takes the brain out of a head first"),
    )


def overrides_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of ``inference.json`` that the options stand for."""
    similarity = {"auto": "auto", "same": "correlation", "different": "mind"}
    return {
        "align": values["alignment"],
        "refine": values["refinement"],
        "refine_similarity": similarity[values["contrast"]],
        "brain": values["brain"],
    }
