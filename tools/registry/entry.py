"""What the registry says of one version of a bundle, beside its hash: licences, packages, provenance, card."""

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from common.errors import InputError
from tools.package import ARCHIVE_NAME
from tools.registry.archive import UNREADABLE

_LICENCES = ("code", "weights", "data")


@dataclass(frozen=True)
class Entry:
    """One version of a bundle in a registry, as its publisher signed it.

    Attributes:
        name: of the bundle's folder.
        version: its version.
        path: the archive's file name below ``targets``.
        sha256: of the archive.
        size: of the archive in bytes.
        about: title, task, licences, packages, provenance, card, weights: see ``describe``.
        yanked: why nobody should install it any more; empty where all is well.
    """

    name: str
    version: Version
    path: str
    sha256: str
    size: int
    about: Mapping[str, Any] = field(default_factory=dict)
    yanked: str = ""

    @classmethod
    def read(cls, path: str, sha256: str, size: int, custom: Any) -> "Entry | None":
        """Make an entry of a signed target; None for a file that is no bundle's archive."""
        match = ARCHIVE_NAME.match(path)
        if match is None:
            return None
        about = custom if isinstance(custom, dict) else {}
        yanked = about.get("yanked", "")
        return cls(match["name"], Version(match["version"]), path, sha256, size, about, str(yanked))

    @property
    def packages(self) -> dict[str, str]:
        """Versions of packages with which the bundle was made; only those that can be read."""
        packages = self.about.get("packages", {})
        return {str(k): str(v) for k, v in packages.items()} if isinstance(packages, dict) else {}

    def runs_with(self, monai: str) -> bool:
        """Whether it can run with an installed MONAI: not older than the one it was made with, same major version."""
        try:
            made, here = Version(self.packages.get("monai", "0")), Version(monai)
        except InvalidVersion:
            return False
        return made <= here and made.major in (0, here.major)


def describe(archive: Path, commit: str = "") -> dict[str, Any]:
    """Read the signed description of an archive out of the archive itself.

    Args:
        archive: a zip that ``inspect`` found harmless.
        commit: of the project's repository that it was packed from.

    Raises:
        InputError: the archive has no readable metadata or card, its name is not that of its contents, or a licence is
            not named.
    """
    match = ARCHIVE_NAME.match(archive.name)
    if match is None:
        raise InputError(f"{archive}: expected a file named NAME_vX.Y.Z.zip")
    metadata = _json(archive, f"{match['name']}/configs/metadata.json")
    if metadata.get("version") != match["version"]:
        raise InputError(
            f"{archive}: expected version {match['version']} in its metadata.json, got {metadata.get('version')!r}"
        )
    licences = metadata.get("licenses")
    if not isinstance(licences, dict) or not all(isinstance(licences.get(of), str) for of in _LICENCES):
        raise InputError(
            f'{archive}: expected "licenses" with {", ".join(_LICENCES)} in its metadata.json, got {licences!r}'
        )
    card = _text(archive, f"{match['name']}/docs/README.md")
    packages = {key: metadata.get(f"{name}_version") for key, name in _PACKAGES.items()}
    required = metadata.get("required_packages_version")
    return {
        "title": metadata.get("name"),
        "task": metadata.get("task"),
        "description": metadata.get("description"),
        "licenses": {of: licences[of] for of in _LICENCES},
        "packages": {**packages, **(required if isinstance(required, dict) else {})},
        "provenance": {
            "commit": commit or "unknown",
            "training_data": metadata.get("data_source", "unknown"),
            "training_command": _training(card),
        },
        "card": f"{archive.stem}.md",
        "weights": _weights(archive, match["name"]),
    }


def _weights(archive: Path, name: str) -> str:
    """Where a bundle's weights are: inside, at an address that ``large_files.yml`` names, or none."""
    with zipfile.ZipFile(archive) as entries:
        names = entries.namelist()
    if f"{name}/models/model.pt" in names:
        return "inside"
    return "large_files.yml" if f"{name}/large_files.yml" in names else "none"


_PACKAGES = {"monai": "monai", "torch": "pytorch", "numpy": "numpy"}


def read_card(archive: Path) -> bytes:
    """The model card of an archive.

    Raises:
        InputError: it has none.
    """
    name = ARCHIVE_NAME.match(archive.name)
    return _text(archive, f"{name['name'] if name else ''}/docs/README.md").encode()


def _training(card: str) -> str:
    """The first block of commands that trains, as the card has it."""
    blocks = re.findall(r"^```(?:bash|sh|shell)\n(.*?)^```", card, re.M | re.S)
    return next((block.strip() for block in blocks if "train.json" in block), "see the card")


def _text(archive: Path, name: str) -> str:
    try:
        with zipfile.ZipFile(archive) as entries:
            return entries.read(name).decode("utf-8")
    except KeyError as error:
        raise InputError(f"{archive}: expected {name}, got no such file") from error
    except UNREADABLE as error:
        raise InputError(f"{archive}: {name} cannot be read: {error}") from error


def _json(archive: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads(_text(archive, name))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{archive}: {name}: expected JSON, got: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{archive}: {name}: expected a JSON object, got {type(content).__name__}")
    return content
