"""An authors' checkpoint for an installed bundle: fetched, its hash checked or recorded, converted, put in at once."""

import hashlib
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from urllib.parse import urlsplit

from tuf.api.exceptions import DownloadError

from common.errors import InputError
from common.writing import save_json
from tools.convert import convert
from tools.registry.archive import MAX_BYTES
from tools.registry.fetch import Fetcher
from tools.registry.files import file_sha256
from tools.registry.install import MANIFEST, changing, check_replaceable, put_in_place, read_manifest

_WEIGHTS = "models/model.pt"


def install_checkpoint(source: str, name: str, bundle_dir: Path, sha256: str = "", force: bool = False) -> str:
    """Convert a checkpoint to the bundle's own names and make it the bundle's weights.

    Args:
        source: a file, or an address of http or https.
        name: of an installed bundle.
        bundle_dir: the folder of all bundles.
        sha256: that the checkpoint has to have; empty: what it has is said and recorded.
        force: put it into a bundle that was changed, too.

    Returns:
        What was done, with the checkpoint's SHA-256.

    Raises:
        InputError: there is no such bundle or checkpoint, its hash is another one, or it does not fit.
    """
    target = bundle_dir / name
    record = read_manifest(target)
    if record is None:
        raise InputError(f"{target}: expected an installed bundle to put the weights into (tools download {name})")
    with changing(bundle_dir) as work:
        check_replaceable(target, force)
        checkpoint = work / "checkpoint"
        digest = _fetch(source, checkpoint)
        if sha256 and digest != sha256.lower():
            raise InputError(f"{source}: expected the SHA-256 {sha256}, got {digest}: nothing was changed")
        new = work / name
        shutil.copytree(target, new, ignore=shutil.ignore_patterns("__pycache__"))
        convert(str(new), str(checkpoint), str(new / _WEIGHTS))
        files = {**record.files, _WEIGHTS: file_sha256(new / _WEIGHTS)}
        weights = {"source": source, "sha256": digest}
        save_json(asdict(replace(record, files=files, weights=weights)), new / MANIFEST)
        put_in_place(new, target, work)
    checked = "as given" if sha256 else "recorded; nobody has vouched for it"
    return f"{name}: weights of {source}, sha256 {digest} ({checked})"


def _fetch(source: str, path: Path) -> str:
    """Write the checkpoint to ``path``; return its SHA-256."""
    if urlsplit(source).scheme not in ("http", "https"):
        try:
            shutil.copyfile(Path(source).expanduser(), path)
        except OSError as error:
            raise InputError(f"{source}: expected a checkpoint, got: {error.strerror}") from error
        return file_sha256(path)
    digest = hashlib.sha256()
    try:
        with path.open("wb") as file:
            for chunk in Fetcher().fetch(source):
                digest.update(chunk)
                if file.write(chunk) and file.tell() > MAX_BYTES:
                    raise InputError(f"{source}: expected at most {MAX_BYTES} bytes, got more")
    except DownloadError as error:
        raise InputError(f"{source}: {error}") from error
    return digest.hexdigest()
