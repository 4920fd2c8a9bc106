"""Command line of the registration bundles: ``python -m tools <command>``."""

import importlib.util
import sys
from pathlib import Path


def _use_own_library() -> None:
    """Import the ``common`` beside this folder: ``python -m`` looks in the current directory first."""
    own = Path(__file__).resolve().parents[1] / "common" / "__init__.py"
    found = None if "common" in sys.modules else importlib.util.find_spec("common")
    if "common" in sys.modules or (found and found.origin and Path(found.origin).resolve() == own):
        return
    spec = importlib.util.spec_from_file_location("common", own, submodule_search_locations=[str(own.parent)])
    if spec is not None and spec.loader is not None:
        sys.modules["common"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["common"])


_use_own_library()
