"""Files that say themselves that they are damaged: checksums of their containers that image readers pass over."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from common.images.nifti import is_nibabel_file

_CHUNK = 1 << 20
#: Bytes within which a text header ends.
_LONGEST_HEADER = 1 << 20


def check_container(path: str | Path) -> None:
    """Read the compressed part of an image file to its end, where its checksum is.

    Readers stop at the last voxel, and some pass over errors: a damaged file would be used with wrong voxels. Looked at
    are gzip (``.nii.gz``, ``.mgz``, ``.img.gz``), NRRD's gzip encoding and MetaImage's zlib stream, with the data in
    the file itself or beside it. Others have no checksum.

    Raises:
        OSError, EOFError, zlib.error: the data are damaged or cut short.
    """
    file, name = Path(path), str(path).lower()
    if is_nibabel_file(path):
        beside = file.with_name(file.name[: -len(".hdr")] + ".img.gz") if name.endswith(".hdr") else file
        if str(beside).lower().endswith("gz") and beside.is_file():
            _read_gzip(beside)
    elif name.endswith((".nrrd", ".nhdr")):
        _check_nrrd(file)
    elif name.endswith((".mha", ".mhd")):
        _check_meta_image(file)


def _read_gzip(path: Path) -> None:
    with gzip.open(path) as stream:
        while stream.read(_CHUNK):
            pass


def _check_nrrd(path: Path) -> None:
    with path.open("rb") as stream:
        fields = dict(_fields(stream, b":"))
        skips = {"byteskip", "lineskip", "byte skip", "line skip"}
        if fields.get("encoding") not in ("gzip", "gz") or skips & set(fields):
            return
        beside = fields.get("data file") or fields.get("datafile")
        if beside is None:
            _inflate(stream, 16 + zlib.MAX_WBITS)
        elif (path.parent / beside).is_file():
            with (path.parent / beside).open("rb") as data:
                _inflate(data, 16 + zlib.MAX_WBITS)


def _check_meta_image(path: Path) -> None:
    with path.open("rb") as stream:
        fields = dict(_fields(stream, b"=", last="elementdatafile"))
        if fields.get("compresseddata", "").lower() != "true":
            return
        beside = fields.get("elementdatafile", "")
        if beside.lower() == "local":
            _inflate(stream, zlib.MAX_WBITS)
        elif (path.parent / beside).is_file():
            with (path.parent / beside).open("rb") as data:
                _inflate(data, zlib.MAX_WBITS)


def _fields(stream: BinaryIO, separator: bytes, last: str = "") -> Iterator[tuple[str, str]]:
    """The lines ``name: value`` of a text header, names in lower case, up to an empty line or the field ``last``."""
    for line in iter(stream.readline, b""):
        if not line.strip() or stream.tell() > _LONGEST_HEADER:
            return
        key, _, value = line.partition(separator)
        name = key.strip().decode("latin-1").lower()
        yield name, value.strip().decode("latin-1")
        if name == last:
            return


def _inflate(stream: BinaryIO, bits: int) -> None:
    """Decompress to the end of the stream's data, where zlib compares the checksum."""
    machine = zlib.decompressobj(bits)
    while not machine.eof:
        chunk = machine.unconsumed_tail or stream.read(_CHUNK)
        if not chunk:
            raise EOFError("the compressed data end before their checksum")
        machine.decompress(chunk, _CHUNK)  # no more at once: zeros grow a thousandfold
