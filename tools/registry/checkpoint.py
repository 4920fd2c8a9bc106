"""An authors' checkpoint for an installed bundle: fetched, its hash checked or recorded, converted, put in at once."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from urllib.parse import urlsplit

from tuf.api.exceptions import DownloadError

from common.errors import InputError
from common.writing import save_json
from tools.convert import convert
from tools.registry.archive import MAX_BYTES
from tools.registry.client import locked
from tools.registry.fetch import Fetcher, Progress
from tools.registry.files import file_sha256
from tools.registry.install import MANIFEST, changing, check_replaceable, put_in_place, read_manifest
from tools.registry.settings import cache_folder

_WEIGHTS = "models/model.pt"


def install_checkpoint(
    source: str,
    name: str,
    bundle_dir: Path,
    sha256: str = "",
    force: bool = False,
    progress: Progress = lambda count: None,
) -> str:
    """Convert a checkpoint to the bundle's own names and make it the bundle's weights.

    Args:
        source: a file, or an address of http or https.
        name: of an installed bundle.
        bundle_dir: the folder of all bundles.
        sha256: that the checkpoint has to have; empty: what it has is said and recorded.
        force: put it into a bundle that was changed, too.
        progress: told of the number of bytes of each piece that arrives.

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
        new = work / name
        shutil.copytree(target, new, ignore=shutil.ignore_patterns("__pycache__"))
        with _at_hand(source, work, progress) as checkpoint:
            digest = file_sha256(checkpoint)
            if sha256 and digest != sha256.lower():
                checkpoint.unlink()
                raise InputError(f"{source}: expected the SHA-256 {sha256}, got {digest}: nothing was changed")
            try:
                convert(str(new), str(checkpoint), str(new / _WEIGHTS))
            except InputError as error:  # it names the copy here
                raise InputError(str(error).replace(str(checkpoint), source)) from error
        files = {**record.files, _WEIGHTS: file_sha256(new / _WEIGHTS)}
        weights = {"source": source, "sha256": digest}
        save_json(asdict(replace(record, files=files, weights=weights)), new / MANIFEST)
        put_in_place(new, target, work)
    checked = "as given" if sha256 else "recorded; nobody has vouched for it"
    return f"{name}: weights of {source}, sha256 {digest} ({checked})"


@contextmanager
def _at_hand(source: str, work: Path, progress: Progress) -> Iterator[Path]:
    """The checkpoint as a file that nobody else writes: a copy, or a download, in the cache until it has served."""
    if urlsplit(source).scheme not in ("http", "https"):
        try:
            yield Path(shutil.copyfile(Path(source).expanduser(), work / "checkpoint"))
        except OSError as error:
            raise InputError(f"{source}: expected a checkpoint, got: {error.strerror}") from error
        return
    folder, fetcher = cache_folder() / "checkpoints", Fetcher()
    try:
        size, state = fetcher.describe(source)
        if size > MAX_BYTES:
            raise InputError(f"{source}: expected at most {MAX_BYTES} bytes, got {size}")
        part = folder / f"{hashlib.sha256(f'{source} {size} {state}'.encode()).hexdigest()}.part"
        with locked(part.with_suffix(".lock")):
            if not state:  # the server does not tell whether it still is the file that an earlier call began with
                part.unlink(missing_ok=True)
            fetcher.save(source, part, size, progress)
            yield part
            part.unlink(missing_ok=True)
    except DownloadError as error:
        raise InputError(f"{source}: {error}") from error
