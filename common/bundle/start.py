"""Which ``common`` package a bundle runs with: its own copy, else that of the checkout or of the installation.

A configuration runs this file by its path (``runpy``), at the head of ``run``, before anything names ``common``: the
current directory may hold a ``common`` of the user's, an older version of the project may be installed, and a bundle of
another version may have run in this process. Nothing but the standard library is imported here.
"""

import sys
from pathlib import Path
from types import ModuleType

_KEPT = "_common_of_other_bundles"  # a module that keeps the packages which are set aside, by folder


def use_code(folder: str) -> None:
    """Make ``common`` mean the package in ``folder``.

    Packages of other folders that are loaded are set aside whole, and come back whole when their bundle runs again, so
    that two versions never mix. Not for two threads that run different versions at once.

    Args:
        folder: the folder that holds ``common``.

    Raises:
        ImportError: this process has loaded a package named ``common`` that is no part of this project.
    """
    wanted = Path(folder).resolve()
    loaded = _loaded_from()
    if loaded not in (None, wanted):
        if not (loaded / "common" / "bundle" / "start.py").is_file():
            raise ImportError(
                f"this process has loaded another package named common, from {loaded}: expected that of {wanted}; "
                "register in a process of its own"
            )
        _set_aside(loaded)
    if loaded != wanted:
        sys.modules.update(_kept().pop(wanted, {}))
        sys.path[:] = [str(wanted), *(entry for entry in sys.path if entry != str(wanted))]


def _loaded_from() -> Path | None:
    """The folder that holds the ``common`` of this process, or None if there is none yet."""
    module = sys.modules.get("common")
    if module is None:
        return None
    place = next(iter(module.__path__)) if hasattr(module, "__path__") else module.__file__
    return Path(str(place)).resolve().parent


def _set_aside(folder: Path) -> None:
    names = [name for name in sys.modules if name.partition(".")[0] == "common"]
    _kept()[folder] = {name: sys.modules.pop(name) for name in names}


def _kept() -> dict[Path, dict[str, ModuleType]]:
    keeper = sys.modules.setdefault(_KEPT, ModuleType(_KEPT))
    return keeper.__dict__.setdefault("packages", {})
