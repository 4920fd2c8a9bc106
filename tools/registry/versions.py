"""Which version of a bundle is meant: ordered as versions (0.10 after 0.9), compatible, not taken back."""

from collections.abc import Sequence
from difflib import get_close_matches

from packaging.version import InvalidVersion, Version

from common.errors import InputError
from tools.registry.entry import Entry


def parse(text: str) -> Version:
    """Read a version.

    Raises:
        InputError: it is none.
    """
    try:
        return Version(text)
    except InvalidVersion as error:
        raise InputError(f"version: expected such as 1.2.3, got {text!r}") from error


def split_name(text: str, version: str = "") -> tuple[str, str]:
    """``NAME==VERSION`` or ``NAME``, with the version of an option.

    Raises:
        InputError: two versions that differ, or no name.
    """
    name, _, given = text.partition("==")
    if given and version and parse(given) != parse(version):
        raise InputError(f"expected one version, got {given} and {version}")
    if not name or not name.replace("_", "").replace("-", "").isalnum() or not name.isascii():
        raise InputError(f"expected the name of a bundle, got {text!r}")
    return name, given or version


def choose(entries: Sequence[Entry], name: str, version: str, monai: str) -> Entry:
    """The version that a user gets: the one named, else the newest that runs here and was not taken back.

    Args:
        entries: what the registry has.
        name: of the bundle.
        version: empty for the newest.
        monai: the installed version of MONAI.

    Raises:
        InputError: there is no such bundle or version, or none that can be chosen.
    """
    ours = sorted((entry for entry in entries if entry.name == name), key=lambda entry: entry.version)
    if not ours:
        known = sorted({entry.name for entry in entries})
        near = get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has: {', '.join(known) or 'nothing'}"
        raise InputError(f"no bundle {name} in the registry; {hint}")
    if version:
        wanted = parse(version)
        for entry in ours:
            if entry.version == wanted:
                return entry
        raise InputError(f"no version {version} of {name} in the registry; it has {_listed(ours)}")
    good = [entry for entry in ours if not entry.yanked and entry.runs_with(monai)]
    if not good:
        raise InputError(f"no version of {name} can be chosen for MONAI {monai}: {_reasons(ours)}; --version takes one")
    return good[-1]


def _listed(entries: Sequence[Entry]) -> str:
    return ", ".join(str(entry.version) for entry in entries)


def _reasons(entries: Sequence[Entry]) -> str:
    return "; ".join(
        f"{entry.version} was taken back ({entry.yanked})"
        if entry.yanked
        else f"{entry.version} was made with MONAI {entry.packages.get('monai', 'of unknown version')}"
        for entry in entries
    )
