"""``python -m tools package``: a bundle as one archive that runs alone, the same bytes on every machine."""

import hashlib
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

import common
from common.errors import InputError
from common.places import find_bundle
from common.writing import save_json, write_atomically
from tools.registry.files import file_sha256, write_bytes

BUNDLES = Path(__file__).resolve().parents[1] / "bundles"
#: What a published bundle holds: folder to suffixes. Everything else in a bundle's folder (runs, caches) stays at home.
CONTENTS = {
    "common": (".css", ".html", ".js", ".md", ".nii.gz", ".pt", ".py"),
    "configs": (".conf", ".json", ".yaml", ".yml"),
    "docs": (".jpg", ".md", ".png", ".svg", ".txt"),
    "models": (".onnx", ".pt", ".ts"),
}
TOP = ("LICENSE", "large_files.yml")
_TEXT = (".conf", ".css", ".html", ".js", ".json", ".md", ".py", ".svg", ".txt", ".yaml", ".yml")
#: The model zoo refuses a larger file inside of a bundle.
LARGE = 25 * 1000**2
#: The first moment that a zip can tell. Times, owners and permissions of the tree leave no trace.
_TIME = (1980, 1, 1, 0, 0, 0)
_UNIX, _REGULAR_0644 = 3, 0o100644 << 16
ARCHIVE_NAME = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9_-]*?)_v(?P<version>[0-9]+(\.[0-9]+){1,2})\.zip$")


def package(
    name: str = "", output_dir: Path = Path("dist"), all: bool = False, url: str = "", split_weights: bool = False
) -> None:
    """Write ``NAME_vX.Y.Z.zip``, the library ``common`` inside, and ``model_info.json`` as the model zoo has it.

    Args:
        name: a folder of ``bundles``, or a path of one.
        output_dir: where the archives go.
        all: every bundle of the repository instead of one.
        url: address under which ``output_dir`` will be served; stands before the file names in ``model_info.json``.
        split_weights: weights above 25 MB into a file of their own beside the archive, which ``large_files.yml`` names
            by ``url``, as the model zoo wants them. Without it an archive is always whole.

    Raises:
        InputError: there is no such bundle, it is incomplete, or a file cannot be read or written.
    """
    if bool(name) == all:
        raise InputError("package: expected the name of one bundle, or --all")
    if split_weights and not url:
        raise InputError("package: --split_weights needs --url, the address under which the weights will be served")
    folders = sorted(p.parent.parent for p in BUNDLES.glob("*/configs/metadata.json")) if all else [find_bundle(name)]
    target = output_dir.expanduser()
    for folder in folders:
        print(describe(pack(folder, target, url if split_weights else "")))
    save_json(model_info(target, url), target / "model_info.json")


def pack(bundle: Path, output_dir: Path, weights_url: str = "") -> Path:
    """Write the archive of one bundle.

    Args:
        bundle: its folder; the folder's name is the bundle's.
        output_dir: where ``NAME_vX.Y.Z.zip`` goes, whole or not at all.
        weights_url: where not empty, a file of ``models`` above 25 MB is written beside the archive as
            ``NAME_vX.Y.Z_FILE``, and ``large_files.yml`` says under which address and hash it is to be had.

    Returns:
        The archive.

    Raises:
        InputError: a file cannot be read or written, or ``metadata.json`` has no version.
    """
    version = version_of(bundle)
    target = output_dir / f"{bundle.name}_v{version}.zip"
    files = {path: _content(source) for path, source in bundle_files(bundle).items()}
    if "LICENSE" not in files:
        raise InputError(f"{bundle}: expected a LICENSE, the model zoo takes no bundle without")
    if weights_url:
        _split(files, target, weights_url)
    write_atomically(target, lambda partial: write_archive(partial, bundle.name, files))
    return target


def version_of(bundle: Path) -> str:
    """The ``version`` of a bundle's ``metadata.json``.

    Raises:
        InputError: no readable file, or no version of the form 1.2.3 in it.
    """
    path = bundle / "configs" / "metadata.json"
    try:
        version = json.loads(path.read_text(encoding="utf-8")).get("version")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: expected the bundle's metadata as a JSON object, got: {error}") from error
    if not isinstance(version, str) or not re.fullmatch(r"[0-9]+(\.[0-9]+){1,2}", version):
        raise InputError(f"{path}: expected a version such as 1.2.3, got {version!r}")
    return version


def bundle_files(bundle: Path) -> dict[str, Path]:
    """Path inside of the bundle to the file, for all that belongs into its archive.

    ``common`` is the bundle's own copy where it has one, else the library of this project.
    """
    library = bundle / "common" if (bundle / "common").is_dir() else Path(common.__file__).resolve().parent
    files = {name: bundle / name for name in TOP if (bundle / name).is_file()}
    for folder, suffixes in CONTENTS.items():
        root = library if folder == "common" else bundle / folder
        files |= {f"{folder}/{path}": root / path for path in _below(root, suffixes)}
    return files


def _below(root: Path, suffixes: tuple[str, ...]) -> Iterator[str]:
    for path in root.rglob("*"):
        inside = path.relative_to(root)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in inside.parts)
        if path.name.endswith(suffixes) and path.is_file() and not hidden:
            yield inside.as_posix()


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: expected to read this file, got: {error.strerror}") from error
    # A checkout on Windows may have other ends of lines than one on Linux.
    return content.replace(b"\r\n", b"\n") if path.suffix in _TEXT or path.name == "LICENSE" else content


def _split(files: dict[str, bytes], archive: Path, url: str) -> None:
    """Move the large files out of ``files``, to beside the archive, and describe them in ``large_files.yml``."""
    entries = []
    for path in [path for path, content in files.items() if len(content) > LARGE]:
        content = files.pop(path)
        beside = archive.with_name(f"{archive.stem}_{Path(path).name}")
        write_bytes(beside, content)
        entries.append(
            {
                "path": path,
                "url": f"{url.rstrip('/')}/{beside.name}",
                "hash_val": hashlib.sha256(content).hexdigest(),
                "hash_type": "sha256",
            }
        )
    if entries:
        files["large_files.yml"] = yaml.safe_dump({"large_files": entries}, sort_keys=False).encode()


def write_archive(path: Path, top: str, files: dict[str, bytes]) -> None:
    """Write a zip whose bytes depend on names and contents alone.

    Entries are sorted by their bytes and stored without compression: what deflate makes of a file depends on the zlib
    at hand, and weights hardly get smaller by it.

    Args:
        path: the zip.
        top: the one folder that holds everything.
        files: path inside of ``top`` to content.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files, key=str.encode):
            entry = zipfile.ZipInfo(f"{top}/{name}", _TIME)
            entry.create_system, entry.external_attr = _UNIX, _REGULAR_0644
            archive.writestr(entry, files[name])


def model_info(folder: Path, url: str = "") -> dict[str, Any]:
    """The model zoo's table of a folder's archives: ``{"NAME_vX.Y.Z": {"checksum": SHA-1, "source": address}}``."""
    start = f"{url.rstrip('/')}/" if url else ""
    archives = sorted(path for path in folder.glob("*.zip") if ARCHIVE_NAME.match(path.name))
    return {
        path.stem: {
            "checksum": hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest(),
            "source": start + path.name,
        }
        for path in archives
    }


def describe(archive: Path) -> str:
    """One line on an archive: name, size, number of files, SHA-256."""
    with zipfile.ZipFile(archive) as entries:
        names = entries.namelist()
    weights = "" if any("/models/" in name for name in names) else ", no weights inside"
    size = archive.stat().st_size / 1e6
    return f"{archive} ({size:.1f} MB, {len(names)} files{weights})\n  sha256 {file_sha256(archive)}"
