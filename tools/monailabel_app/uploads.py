"""Files and parameters that come with a request."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.monailabel_app.names import suffix_of
from tools.monailabel_app.refused import RefusedError


def read_params(text: Any) -> dict[str, Any]:
    """Parameters of a request: a JSON object, or nothing.

    Raises:
        RefusedError: something else.
    """
    try:
        params = json.loads(text) if text else {}
    except (ValueError, RecursionError, TypeError) as error:
        raise RefusedError(400, "params: expected a JSON object, got text that is no JSON") from error
    if not isinstance(params, dict):
        raise RefusedError(400, f"params: expected a JSON object, got {type(params).__name__}")
    return params


def receive(upload: Any, folder: Path) -> Path:
    """Write an uploaded image into a folder; of the client's name for it only a known suffix is used.

    Raises:
        RefusedError: another kind of file, or an empty one.
    """
    target = folder / f"upload{suffix_of(upload.filename or '')}"
    with target.open("wb") as file:
        shutil.copyfileobj(upload.file, file, 1 << 20)
    if not target.stat().st_size:
        raise RefusedError(422, "uploaded file: expected an image, got an empty file")
    return target


def receive_series(uploads: Sequence[Any], folder: Path) -> list[Path]:
    """Write the files of an uploaded series into a folder, numbered."""
    files = []
    for number, upload in enumerate(uploads):
        target = folder / f"{number:05d}.dcm"
        with target.open("wb") as file:
            shutil.copyfileobj(upload.file, file, 1 << 20)
        files.append(target)
    return files


@contextmanager
def passing_folder(parent: Path) -> Iterator[Path]:
    """A folder that is gone afterwards, whatever happened."""
    folder = Path(tempfile.mkdtemp(prefix="upload-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
