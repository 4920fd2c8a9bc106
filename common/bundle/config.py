"""What every bundle's configuration calls by name: where the bundle lies, how errors end."""

import json
import sys
from collections.abc import Iterator, Sized
from pathlib import Path
from types import TracebackType

import common
from common.errors import InputError, find_input_error
from common.switches import switch


def bundle_root(name: str) -> str:
    """Find the folder of a bundle, whatever the current directory is.

    MONAI tells a configuration nothing about its own path, so the candidates are tried in turn: the ``--config_file``
    of the command line, the import path (MONAI puts the bundle there when a workflow runs), the folder around the
    ``common`` package (a checkout, or a published bundle that carries ``common``), the current directory.

    Args:
        name: the ``name`` in the bundle's ``configs/metadata.json``.

    Returns:
        The absolute path; ``.`` where no candidate is that bundle, as MONAI's own convention has it.
    """
    for folder in _candidates():
        try:
            metadata = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(metadata, dict) and metadata.get("name") == name:
            return str(folder.resolve())
    return "."


def _candidates() -> Iterator[Path]:
    for config in _config_files(sys.argv):
        yield Path(config).absolute().parent.parent
    yield from (Path(entry) for entry in sys.path if entry)
    for root in (Path(common.__file__).resolve().parent.parent, Path.cwd()):
        yield root
        yield from sorted((root / "bundles").glob("*"))


def _config_files(argv: list[str]) -> list[str]:
    """The value of ``--config_file``, given as one path or as a list of paths: ``"['a.json','b.json']"``."""
    for option, value in zip(argv, [*argv[1:], ""], strict=True):
        if option.startswith(("--config_file=", "--config-file=")):
            option, value = option.split("=", 1)
        if option in ("--config_file", "--config-file"):
            return [part.strip(" '\"") for part in value.strip("[]").split(",") if part.strip(" '\"")]
    return []


def end_errors_in_one_line() -> None:
    """From now on, an uncaught ``InputError`` prints its text on one line of stderr; the exit code stays 1.

    Configurations call it in ``initialize``. Any other exception keeps its traceback: it is a defect of ours.
    """
    sys.excepthook = _one_line


def _one_line(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    cause = find_input_error(error)
    if cause is None:
        sys.__excepthook__(kind, error, traceback)
        return
    sys.stdout.flush()
    print(f"error: {cause}", file=sys.stderr)


def require_pairs(pairs: Sized) -> None:
    """Refuse to run on nothing.

    Args:
        pairs: the dataset of a run.

    Raises:
        InputError: it is empty.
    """
    if len(pairs) == 0:
        raise InputError("nothing to register: give --fixed and --moving, or --datalist")


def require_weights(root: str, wanted: bool | str = True) -> None:
    """Refuse to register with random weights unless that was asked for.

    Args:
        root: folder of the bundle.
        wanted: whether the run loads weights at all (``load_pretrain``).

    Raises:
        InputError: the bundle has none.
    """
    path = Path(root) / "models" / "model.pt"
    if switch(wanted) and not path.is_file():
        raise InputError(
            f"this bundle has no trained weights yet: expected {path}; train it (docs/training.md), convert a "
            "checkpoint (python -m tools convert), or run it with random weights by --load_pretrain false"
        )
