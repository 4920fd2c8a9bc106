"""Transforms in the files of other programs: ITK's and ANTs' affines, ITK composites, warps, plain 4x4 matrices.

| suffix | holds | who opens it |
|---|---|---|
| ``.h5``, ``.hdf5`` | affines and fields, chained | ANTs, Slicer, ITK, SimpleITK |
| ``.mat`` | one affine (MATLAB 4) | ANTs, ITK, SimpleITK |
| ``.tfm`` | one affine (text) | Slicer, ANTs, ITK, SimpleITK |
| ``.txt`` | written: a 4x4 matrix, RAS mm, fixed to moving; read: that, or ITK's text | NumPy, and people |
| ``.nii``, ``.nii.gz`` | one field, LPS mm | ANTs, Slicer, ITK, nibabel |

All of them map points of the fixed image to the moving image. SimpleITK does the reading and writing of ITK's formats.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.errors import InputError
from common.geometry import shear_of
from common.geometry.affines import Array
from common.geometry.transforms import Affine, DisplacementField, Transform, compose, parts_of
from common.images import read_field, save_field
from common.images.headers import ITK_SHEAR
from common.registration.simple_itk import grid_of_image, matrix_of, to_image
from common.writing import reserve, write_atomically

AFFINE_SUFFIXES = (".mat", ".tfm", ".txt")
COMPOSITE_SUFFIXES = (".h5", ".hdf5")
FIELD_SUFFIXES = (".nii", ".nii.gz")
SUFFIXES = (*COMPOSITE_SUFFIXES, *AFFINE_SUFFIXES, *FIELD_SUFFIXES)
_DOUBLE = 8
_HDF5 = b"\x89HDF\r\n\x1a\n"
#: Byte of an HDF5 file at which the address of its end stands, by the version of its superblock.
_END = {0: 40, 2: 28, 3: 28}


def read_transform(path: str | Path, source: str = "fixed", target: str = "moving") -> Transform:
    """Read a transform file.

    Args:
        path: one of ``SUFFIXES``.
        source: the space that the file's points come from; no file says it.
        target: the space that they go to.

    Raises:
        InputError: no such file, damaged, not 3-D, or a kind of transform that is neither linear nor a field.
    """
    suffix = _suffix(path)
    if not Path(path).is_file():
        raise InputError(f"transform {path}: expected a file, got no such file")
    try:
        return _read(path, suffix, source, target)
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"transform {path}: {error}") from error


def read_affine(path: str | Path, source: str = "fixed", target: str = "moving") -> Affine:
    """Read a transform file that holds a linear map alone; see ``read_transform``.

    Raises:
        InputError: as ``read_transform``, or there is a field in it.
    """
    transform = read_transform(path, source, target)
    if not isinstance(transform, Affine):
        raise InputError(f"transform {path}: expected a linear transform alone, got one with a displacement field")
    return transform


def _read(path: str | Path, suffix: str, source: str, target: str) -> Transform:
    if suffix in FIELD_SUFFIXES:
        field, grid = read_field(path)
        return DisplacementField.from_lps(grid, field, source, target)
    if suffix == ".txt" and not _starts_with(path, b"#Insight"):
        return Affine(_read_matrix(path), source, target)
    if suffix in COMPOSITE_SUFFIXES:
        _check_hdf5(path)
    elif suffix == ".mat" and _is_text_matrix(path):
        raise InputError(
            f"transform {path}: expected ITK's or ANTs' matrix, got FSL's, which says nothing without both images: "
            "convert it first (docs/howto/other_programs.md)"
        )
    return _from_itk(_read_itk(path), str(path), source, target)


def write_transform(transform: Transform, path: str | Path) -> None:
    """Write a transform; the suffix says how, see the table above. The file appears whole or not at all.

    Raises:
        InputError: an unknown suffix, one that cannot hold this transform, or a field whose axes ITK cannot hold.
    """
    suffix, parts = _suffix(path), parts_of(transform)
    single = parts[0] if len(parts) == 1 else None
    if suffix in FIELD_SUFFIXES and isinstance(single, DisplacementField):
        ddf, affine = single.ddf, single.grid.affine
        write_atomically(path, lambda partial: save_field(ddf, affine, partial))
    elif suffix == ".txt" and isinstance(single, Affine):
        matrix = single.matrix
        write_atomically(path, lambda partial: _write_matrix(matrix, partial))
    elif suffix in COMPOSITE_SUFFIXES or (suffix in AFFINE_SUFFIXES and isinstance(single, Affine)):
        itk_transform = _to_itk(parts, str(path))
        numbers = sum(part.ddf.numel() for part in parts if isinstance(part, DisplacementField))
        write_atomically(path, lambda partial: _write_itk(itk_transform, partial, numbers))
    else:
        kind = "a field" if isinstance(single, DisplacementField) else "an affine" if single else "a chain"
        raise InputError(f"transform {path}: expected a file that can hold {kind} ({', '.join(_holding(kind))})")


def _holding(kind: str) -> Sequence[str]:
    further = {"a field": FIELD_SUFFIXES, "an affine": AFFINE_SUFFIXES, "a chain": ()}[kind]
    return (*COMPOSITE_SUFFIXES, *further)


def _suffix(path: str | Path) -> str:
    name = Path(path).name.lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise InputError(f"transform {path}: expected one of {', '.join(SUFFIXES)}, got {name!r}")


def _starts_with(path: str | Path, start: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(start)) == start


def _check_hdf5(path: str | Path) -> None:
    """Refuse what is no HDF5 or cut short before the library prints pages about it."""
    with open(path, "rb") as file:
        head = file.read(48)
    if not head.startswith(_HDF5):
        raise InputError(f"transform {path}: expected an HDF5 file, got one that does not begin like it")
    place, size = _END.get(head[8], 0) if len(head) == 48 else 0, Path(path).stat().st_size
    whole = int.from_bytes(head[place : place + 8], "little") if place else 0
    if size < whole:
        raise InputError(f"transform {path}: expected {whole} bytes, got {size}: the file is cut short")


def _read_matrix(path: str | Path) -> Array:
    try:
        matrix = np.loadtxt(path, dtype=np.float64, ndmin=2)
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"transform {path}: expected four rows of four numbers, got {_line(error)}") from error
    if matrix.shape != (4, 4):
        raise InputError(f"transform {path}: expected four rows of four numbers, got {matrix.shape}")
    return matrix


def _is_text_matrix(path: str | Path) -> bool:
    rows = [row.split() for row in Path(path).read_bytes()[:2000].splitlines() if row.strip()]
    try:
        return [len([float(word) for word in row]) for row in rows] == [4, 4, 4, 4]
    except ValueError:
        return False


def _write_matrix(matrix: Array, path: Path) -> None:
    np.savetxt(path, matrix, fmt="%.17g", header="points of the fixed image to the moving image, RAS millimetres")


def _read_itk(path: str | Path) -> Any:
    import SimpleITK

    try:
        return SimpleITK.ReadTransform(str(path))
    except (RuntimeError, UnicodeDecodeError, MemoryError) as error:
        raise InputError(f"transform {path}: expected an ITK transform, got {_line(error)}") from error


def _write_itk(transform: Any, path: Path, numbers: int) -> None:
    """Write a transform whose fields hold so many numbers, in double precision."""
    import SimpleITK

    # On a full disk HDF5 prints fifty lines, and may end the process where it closes the file.
    reserve(path, _DOUBLE * numbers)
    SimpleITK.WriteTransform(transform, str(path))


def _line(error: BaseException) -> str:
    """The last line of an error: ITK says there what was wrong, after where in its sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _from_itk(transform: Any, name: str, source: str, target: str) -> Transform:
    if transform.GetDimension() != 3:
        raise InputError(f"transform {name}: expected one of 3-D points, got {transform.GetDimension()}-D")
    simple = _flat(transform, name)
    spaces = [source, *(f"{name}, after step {n}" for n in range(1, len(simple))), target]
    parts = [_simple(one, name, *spaces[n : n + 2]) for n, one in enumerate(simple)]
    return compose(*parts)


def _flat(transform: Any, name: str) -> list[Any]:
    """The parts of a composite in the order in which they meet points: ITK keeps them on a stack."""
    import SimpleITK

    if transform.GetName() != "CompositeTransform":
        return [transform]
    chain = SimpleITK.CompositeTransform(transform)
    flat = [chain.GetNthTransform(n) for n in reversed(range(chain.GetNumberOfTransforms()))]
    if not flat:
        raise InputError(f"transform {name}: expected a transform, got an empty chain")
    return flat


def _simple(transform: Any, name: str, source: str, target: str) -> Affine | DisplacementField:
    import SimpleITK

    if transform.GetName() == "DisplacementFieldTransform":
        image = SimpleITK.DisplacementFieldTransform(transform).GetDisplacementField()
        vectors = np.ascontiguousarray(SimpleITK.GetArrayFromImage(image).T, dtype=np.float32)
        return DisplacementField.from_lps(grid_of_image(image), torch.from_numpy(vectors), source, target)
    if not transform.IsLinear():
        raise InputError(f"transform {name}: expected affines and displacement fields, got a {transform.GetName()}")
    return Affine.from_lps(matrix_of(transform), source, target)


def _to_itk(parts: Sequence[Affine | DisplacementField], name: str) -> Any:
    import SimpleITK

    # The first to meet the points goes last: ITK's chain is a stack.
    simple = [
        _affine_to_itk(part) if isinstance(part, Affine) else _field_to_itk(part, name) for part in reversed(parts)
    ]
    return simple[0] if len(simple) == 1 and isinstance(parts[0], Affine) else SimpleITK.CompositeTransform(simple)


def _affine_to_itk(affine: Affine) -> Any:
    import SimpleITK

    transform = SimpleITK.AffineTransform(3)
    transform.SetMatrix(affine.lps[:3, :3].ravel().tolist())
    transform.SetTranslation(affine.lps[:3, 3].tolist())
    return transform


def _field_to_itk(field: DisplacementField, name: str) -> Any:
    import SimpleITK

    if shear_of(field.grid.affine) > ITK_SHEAR:
        raise InputError(f"transform {name}: expected a field on orthogonal axes, as ITK needs them, got sheared ones")
    # ITK's own precision here is double; ANTs and Slicer read it, and SimpleITK writes no other.
    return SimpleITK.DisplacementFieldTransform(to_image(field.lps.numpy().astype(np.float64), field.grid))
