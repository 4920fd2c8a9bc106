"""Options that no configuration knows: a typing error must not run as if it were not there."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from pydoc import locate
from typing import Any

from common.errors import InputError, nearest

#: Keys of a configuration that MONAI reads itself.
_OWN = {"_meta_", "_target_", "_disabled_", "_requires_", "_desc_", "_mode_"}


def known_keys(root: Path) -> set[str]:
    """Top-level keys of all configurations of a bundle; a leading ``+`` and what stands behind ``#`` are left out."""
    found: set[str] = set()
    for path in sorted((root / "configs").glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        found |= {re.split("#|::", key.lstrip("+"))[0] for key in content}
    return found


def check_options(config: Mapping[str, Any], root: Path) -> None:
    """Raise ``InputError`` for a key of a merged configuration that nothing reads.

    Top-level keys count as known if a configuration of the bundle has them or if the merged one refers to them; the
    arguments of this project's own classes if their constructors take them.

    Args:
        config: what MONAI merged from the files and the command line.
        root: the bundle's folder.
    """
    known = known_keys(root)
    referred = set(re.findall(r"@(\w+)", json.dumps(config, default=str)))
    for key in config:
        if key not in known | referred | _OWN:
            raise InputError(f"unknown option --{key}{nearest(key, known)}")
    for place, component in _components(config):
        _check_arguments(place, component)


def _components(content: Any, place: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every part of a configuration that names a class of this project, with its place."""
    if isinstance(content, Mapping):
        if str(content.get("_target_", "")).startswith("common."):
            yield place, content
        for key, value in content.items():
            yield from _components(value, f"{place}#{key}" if place else str(key))
    elif isinstance(content, list | tuple):
        for number, value in enumerate(content):
            yield from _components(value, f"{place}#{number}")


def _check_arguments(place: str, component: Mapping[str, Any]) -> None:
    target = locate(component["_target_"])
    if not callable(target):
        raise InputError(f"{place}: expected a class or function, got {component['_target_']}, which does not exist")
    parameters = inspect.signature(target).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    for key in component:
        if key not in parameters and key not in _OWN:
            known = [f"{place}#{name}" for name in parameters]
            raise InputError(f"unknown option --{place}#{key}{nearest(f'{place}#{key}', known)}")
