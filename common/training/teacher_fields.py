"""Fields of training pairs that something slower than a network has found, in files: what ``tools teach`` makes.

A folder holds ``index.json`` and a file for each ordered pair of subjects: ``field`` (3, X, Y, Z) int16 in steps of
1/256 voxel, on the whole grid of the subjects' files at the spacing of the index, in RAS order.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.data.datalist import read_datalist
from common.errors import InputError
from common.spatial import resize_ddf
from common.training.volumes import Place, Subject, block_factors, shrink
from common.writing import save_json, write_atomically

INDEX = "index.json"
#: Steps of a stored field in a voxel.
STEPS = 256
#: Longest component in voxels that sixteen bits hold.
LONGEST = 32767 / STEPS


def smaller(ddf: Tensor, factors: tuple[int, ...]) -> Tensor:
    """Bring a field to blocks of its voxels: the mean displacement of a block, in voxels of the blocks' grid.

    Args:
        ddf: (3, X, Y, Z) in voxels.
        factors: voxels of a block along each axis.
    """
    means = [shrink(channel, factors, label=False) / n for channel, n in zip(ddf, factors, strict=True)]
    return torch.stack(means)


def write_field(ddf: Tensor, path: Path) -> None:
    """Write a field (3, X, Y, Z) in voxels, the whole file or none.

    Raises:
        InputError: a component that is not finite or too long for the file.
    """
    longest = float(ddf.abs().max())
    if not longest <= LONGEST:
        raise InputError(f"{path}: expected components of at most {LONGEST:g} voxels, got {longest}")
    steps = (ddf * STEPS).round().to(torch.int16).numpy()

    def write(partial: Path) -> None:
        with partial.open("wb") as file:  # given a path, numpy would add a suffix
            np.savez_compressed(file, field=steps)

    write_atomically(path, write)


def read_field(path: Path) -> Tensor:
    """Read what ``write_field`` wrote: (3, X, Y, Z) int16 in steps.

    Raises:
        InputError: the file is missing, damaged, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            field = stored["field"]
    except Exception as error:  # a damaged archive fails in many ways
        raise InputError(f"{path}: expected a teacher's field, got {type(error).__name__}: {error}") from error
    if field.dtype != np.int16 or field.ndim != 4 or len(field) != 3:
        raise InputError(f"{path}: expected int16 (3, X, Y, Z), got {field.dtype} {field.shape}")
    return torch.from_numpy(field)


class TeacherFolder:
    """The folder of a teacher's fields: its index, and a file for each ordered pair.

    Args:
        folder: where the fields lie.

    Attributes:
        facts: what made them: ``spacing`` in mm, ``images`` (subject -> SHA-256 of its file), ``options``.
        fields: ``"moving fixed"`` -> ``file`` and what is known of the field.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.facts: dict[str, Any] = {}
        self.fields: dict[str, dict[str, Any]] = {}

    @property
    def exists(self) -> bool:
        """Whether there is an index."""
        return (self.folder / INDEX).is_file()

    def read(self) -> "TeacherFolder":
        """Read the index.

        Raises:
            InputError: there is none, or it is something else.
        """
        content = read_datalist(self.folder / INDEX)
        if not {"spacing", "images", "options", "fields"} <= content.keys():
            raise InputError(f"{self.folder / INDEX}: expected the index of a teacher's fields, got {sorted(content)}")
        self.fields = content.pop("fields")
        self.facts = content
        return self

    def add(self, moving: str, fixed: str, ddf: Tensor, facts: Mapping[str, Any]) -> None:
        """Write a pair's field (3, X, Y, Z) in voxels, then the index that names it."""
        name = f"{moving}_{fixed}.npz"
        write_field(ddf, self.folder / name)
        self.fields[f"{moving} {fixed}"] = {"file": name, **facts}
        save_json({**self.facts, "fields": self.fields}, self.folder / INDEX)


class TeacherFields:
    """A teacher's fields for the subjects of a training run.

    Args:
        folder: what ``tools teach`` wrote. Subjects are known by the ``id`` of the datalist.

    Raises:
        InputError: there is no such folder, or it holds no fields.
    """

    def __init__(self, folder: str) -> None:
        stored = TeacherFolder(folder).read()
        if not stored.fields:
            raise InputError(f"{stored.folder}: expected fields, found none")
        self.folder, self.spacing = stored.folder, float(stored.facts["spacing"])
        self.files = {(key.split(" ")[0], key.split(" ")[1]): row["file"] for key, row in stored.fields.items()}
        self._known: dict[str, Tensor] = {}

    def between(self, moving: Subject, fixed: Subject) -> Tensor | None:
        """Return the field (1, 3, X, Y, Z) in voxels of the subjects' grid, or ``None`` where there is none.

        Raises:
            InputError: it is not on the grid of the subjects' files.
        """
        if (moving.name, fixed.name) not in self.files:
            return None
        place = fixed.place
        if place is None:
            raise InputError(f"a teacher's fields need subjects that know where they lie, {fixed.name} does not")
        file = self.folder / self.files[moving.name, fixed.name]
        if file.name not in self._known:
            self._known[file.name] = read_field(file)
        ddf = self._known[file.name].to(next(iter(fixed.images.values())).device).float() / STEPS
        ddf = self._at(ddf, place, file)
        if tuple(ddf.shape[1:]) != place.whole:
            raise InputError(
                f"{file}: expected a field on the subjects' grid of {place.whole} voxels of {list(place.spacing)} mm, "
                f"got {tuple(ddf.shape[1:])}"
            )
        return torch.stack([place.frame.of(channel) for channel in ddf])[None]

    def _at(self, ddf: Tensor, place: Place, file: Path) -> Tensor:
        """Bring a field (3, X, Y, Z) to another spacing: means of blocks, or linearly to finer voxels."""
        have, want = (self.spacing,) * 3, place.spacing
        coarser = block_factors(have, want)
        if coarser is not None:
            return smaller(ddf, coarser)
        finer = block_factors(want, have)
        if finer is not None:
            x, y, z = (n * factor for n, factor in zip(ddf.shape[1:], finer, strict=True))
            return resize_ddf(ddf[None], (x, y, z))[0]
        raise InputError(
            f"{file}: a field of {self.spacing:g} mm voxels teaches at a multiple or a whole fraction of that, "
            f"got {list(want)} mm"
        )


def taught_pairs(teacher: TeacherFields | None, subjects: Sequence[Subject], pairing: str) -> list[tuple[int, int]]:
    """Numbers (moving, fixed) of the subjects that a teacher has a field for, in the order of its index.

    Raises:
        InputError: a teacher that has none for any two of them; the pairing ``taught`` without a teacher.
    """
    if teacher is None:
        if pairing == "taught":
            raise InputError("pairing: taught expects a teacher's fields (teacher_fields), got none")
        return []
    place = {subject.name: number for number, subject in enumerate(subjects)}
    found = [(place[a], place[b]) for a, b in teacher.files if a in place and b in place]
    if not found:
        raise InputError(f"{teacher.folder}: expected fields for two of the subjects {list(place)}, found none")
    return found
