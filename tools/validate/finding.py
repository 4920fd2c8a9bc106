"""What a check found, and the bundle that the checks read: a folder or an archive, as bytes."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.package import ARCHIVE_NAME
from tools.registry.archive import CACHES, UNREADABLE, inspect, name_problems
from tools.registry.install import MANIFEST

#: What a run or a training leaves in a bundle's folder; ``tools package`` leaves it at home.
_AT_HOME = ("eval", "runs")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        file: inside of the bundle; empty for all of it.
        key: in that file, ``a#b#0`` as MONAI writes it.
        reason: what was expected and what came.
        remedy: what to do about it.
        level: error, or warning for what no rule of MONAI or the model zoo forbids.
    """

    file: str
    key: str
    reason: str
    remedy: str
    level: str = "error"

    @property
    def line(self) -> str:
        """Where and what, without the remedy."""
        return ": ".join(part for part in (self.file, self.key, self.reason) if part)

    def __str__(self) -> str:
        return f"{self.level}: {self.line}\n    {self.remedy}"


@dataclass(frozen=True)
class Contents:
    """A bundle's files as bytes.

    Attributes:
        name: of the bundle's folder.
        version: that an archive's name says; empty for a folder.
        files: path inside of the bundle to content.
    """

    name: str
    version: str
    files: Mapping[str, bytes]

    def json(self, path: str) -> tuple[Any, list[Finding]]:
        """Read a JSON file strictly: no key twice, no NaN; None with a finding where it cannot be read."""
        try:
            text = self.files[path].decode("utf-8")
            return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse), []
        except KeyError:
            return None, [Finding(path, "", "expected this file, got none", "write it; see CONTRIBUTING.md")]
        except (ValueError, RecursionError) as error:
            return None, [Finding(path, "", f"expected strict JSON, got: {error}", "correct the file")]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"the key {key!r} stands twice")
    return dict(pairs)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def read_bundle(path: Path) -> tuple[Contents, list[Finding]]:
    """Read a folder or an archive; where the archive's list has a problem, nothing else of it is read."""
    return _read_folder(path) if path.is_dir() else _read_archive(path)


def _read_archive(path: Path) -> tuple[Contents, list[Finding]]:
    match = ARCHIVE_NAME.match(path.name)
    if match is None:
        reason = f"expected the name NAME_vX.Y.Z.zip, got {path.name}"
        return Contents(path.stem, "", {}), [Finding("", "", reason, "let tools package write the archive")]
    name, version = match["name"], match["version"]
    problems = inspect(path, name)
    if problems:
        remedy = "let tools package write the archive; do not unpack this one"
        return Contents(name, version, {}), [Finding(p.entry, "", p.reason, remedy) for p in problems]
    files = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            try:
                if not entry.is_dir():
                    files[entry.filename.partition("/")[2]] = archive.read(entry)
            except UNREADABLE as error:
                return Contents(name, version, {}), [
                    Finding(entry.filename, "", f"expected a whole entry, got: {error}", "get the archive again")
                ]
    return Contents(name, version, files), []


def _read_folder(path: Path) -> tuple[Contents, list[Finding]]:
    files, findings = {}, []
    for file in sorted(path.rglob("*")):
        inside = file.relative_to(path).as_posix()
        if inside.split("/")[0] in _AT_HOME or inside == MANIFEST or file.name.endswith(CACHES):
            continue
        if file.is_symlink() or not (file.is_file() or file.is_dir()):
            findings.append(Finding(inside, "", "expected a file, got a link or a device", "put the file itself there"))
        elif file.is_file():
            findings += [Finding(inside, "", reason, "rename or remove it") for reason in name_problems(inside)]
            files[inside] = file.read_bytes()
    return Contents(path.resolve().name, "", files), findings
