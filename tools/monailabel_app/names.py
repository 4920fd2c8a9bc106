"""Names that requests bring, of images and tags: a name never is a path, and what it names lies in its folder."""

import os
from pathlib import Path

from tools.monailabel_app.refused import RefusedError

#: Kinds of files that are images here; a folder with one DICOM series is an image too.
SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mgz")
#: Bytes of a name; what is left of a file system's 255 is for suffixes and partial files.
LONGEST = 180
#: Never in a name: what separates parts of a path somewhere. Windows takes further ones away.
_SEPARATORS = "/\\" + (':*?"<>|' if os.name == "nt" else "")


def checked_name(name: str, what: str) -> str:
    """Return a name that can be that of one file.

    Args:
        name: what a client sent.
        what: what it names, for the reason: ``image``, ``tag``.

    Raises:
        RefusedError: empty, too long, with separators or control characters, or hidden.
    """
    reason = ""
    if not isinstance(name, str) or not name.strip():
        reason = "none"
    elif len(name.encode("utf-8", "surrogatepass")) > LONGEST:
        reason = f"one of more than {LONGEST} bytes"
    elif any(character in _SEPARATORS or not character.isprintable() for character in name):
        reason = "one with a separator of paths or a character that cannot be printed"
    elif name.startswith(".") or name != name.strip() or name.endswith("."):
        reason = "one that begins or ends with a dot or a space"
    if reason:
        raise RefusedError(400, f"{what}: expected a plain name, got {reason}")
    return name


def suffix_of(file_name: str) -> str:
    """The suffix of ``SUFFIXES`` that an uploaded file's name ends with.

    Raises:
        RefusedError: another kind of file.
    """
    found = [suffix for suffix in SUFFIXES if file_name.lower().endswith(suffix)]
    if not found:
        raise RefusedError(415, f"uploaded file: expected one that ends with {', '.join(SUFFIXES)}, got another kind")
    return max(found, key=len)


def place_in(folder: Path, *parts: str) -> Path:
    """The path of a file to be written below a folder, links resolved.

    Raises:
        RefusedError: it would lie elsewhere.
    """
    root = folder.resolve()
    place = root.joinpath(*parts)
    if not place.parent.resolve().is_relative_to(root) or place.is_symlink() or place == root:
        raise RefusedError(400, "expected a name inside of the studies folder, got one that leads out of it")
    return place
