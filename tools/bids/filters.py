"""Filters of BIDS Apps (``--bids-filter-file``): which images of a kind count, by entities, as fMRIPrep has them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.bundle.folder import read_json
from common.errors import InputError
from tools.bids.dataset import OTHERS, REFERENCE, Image

#: What an entity is called in a filter, by its key in a file's name; the key itself is taken too.
ENTITIES = {
    "sub": "subject", "ses": "session", "acq": "acquisition", "ce": "ceagent", "rec": "reconstruction", "run": "run",
    "echo": "echo", "flip": "flip", "inv": "inversion", "mt": "mtransfer", "part": "part", "chunk": "chunk",
    "task": "task", "dir": "direction", "trc": "tracer", "stain": "staining",
}  # fmt: skip
#: Entries of a filter that the kind of the image says already.
_KNOWN_OF_THE_KIND = ("datatype", "suffix", "extension")
#: Values that stand for any label, and for none, as PyBIDS writes its queries into such files.
_ANY, _NONE = ("*", "Query.ANY"), ("Query.NONE",)


def read_filters(path: Path) -> dict[str, Mapping[str, Any]]:
    """Read a filter file: an object of filters by kind of image, such as ``{"t1w": {"session": "02", "run": null}}``.

    Kinds of other programs, such as ``bold``, are passed over.

    Raises:
        InputError: it is no such file, or a filter has an entity that no file's name has.
    """
    kinds = {suffix.lower(): suffix for suffix in (REFERENCE, *OTHERS)}
    filters = {kinds[name.lower()]: value for name, value in read_json(path).items() if name.lower() in kinds}
    for kind, value in filters.items():
        if not isinstance(value, Mapping):
            raise InputError(f"{path}: expected an object of entities for {kind}, got {value!r}")
        for name in value:
            if name not in (*ENTITIES, *ENTITIES.values(), *_KNOWN_OF_THE_KIND):
                raise InputError(f"{path}: {kind}: expected one of {', '.join(ENTITIES.values())}, got {name!r}")
    return filters


def filtered(images: Sequence[Image], filters: Mapping[str, Mapping[str, Any]]) -> list[Image]:
    """The images that their kind's filter lets through; those of a kind without a filter all pass."""
    return [image for image in images if _passes(image.labels, filters.get(image.suffix, {}))]


def _passes(labels: Mapping[str, str], wanted: Mapping[str, Any]) -> bool:
    keys = {name: key for key, name in ENTITIES.items()}
    named = {keys.get(name, name): value for name, value in wanted.items() if name not in _KNOWN_OF_THE_KIND}
    return all(_fits(labels.get(key), value) for key, value in named.items())


def _fits(label: str | None, value: Any) -> bool:
    """Whether a label is the one that is wanted, or one of them; ``null`` wants none. 1 fits 01.

    >>> _fits("01", 1), _fits("a", ["a", "b"]), _fits(None, None), _fits("a", None), _fits("a", "*")
    (True, True, True, False, True)
    """
    if isinstance(value, list):
        return any(_fits(label, one) for one in value)
    if value is None or value in _NONE:
        return label is None
    if value in _ANY:
        return label is not None
    if isinstance(value, int) and label is not None and label.isdigit():
        return int(label) == value
    return label == str(value)
