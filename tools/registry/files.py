"""Files of a registry: written whole, known by their SHA-256."""

import hashlib
import shutil
from pathlib import Path

from common.writing import write_atomically


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    write_atomically(path, lambda partial: partial.write_bytes(content))


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, whole or not at all; its times and permissions are new."""
    write_atomically(target, lambda partial: shutil.copyfile(source, partial))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
