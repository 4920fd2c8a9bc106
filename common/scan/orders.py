"""Walks over a volume: in which order a scan visits the voxels, and where it writes what it computed there."""

from typing import NamedTuple

import torch
from torch import Tensor

_AXES = "xyz"


class ScanOrder(NamedTuple):
    """One walk over a volume (X, Y, Z): ``read`` says which voxel each step reads, ``write`` where its result goes.

    Each is three letters, the slowest axis first; a capital letter walks that axis from its far end. ``"xyz"`` is
    row-major order, ``"XYZ"`` exactly the reverse of it, ``"yxz"`` has the first two axes swapped, ``"zYx"`` runs over
    x fastest and over y backwards. ``write`` is ``read`` in every sensible model. Where it differs, the result of the
    step with counters (i, j, k), slowest first, goes to the voxel that the write letters give for the same counters;
    both walks then need the same counter sizes.
    """

    read: str
    write: str

    @classmethod
    def parse(cls, name: "str | ScanOrder") -> "ScanOrder":
        """Make an order from ``"yxz"`` or ``"yxz>xzy"`` (read > write); ValueError for anything else."""
        if isinstance(name, ScanOrder):
            return name
        read, _, write = name.partition(">")
        order = cls(read, write or read)
        for letters in order:
            if sorted(letters.lower()) != sorted(_AXES):
                raise ValueError(
                    f"scan order {name!r}: expected three letters such as 'xyz', 'yxz' or 'XYZ' (capitals walk "
                    "backwards), or two of them as 'yxz>xzy'"
                )
        return order

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raise ValueError where reading and writing walk counters of different sizes."""
        read, write = ([shape[_AXES.index(letter)] for letter in letters.lower()] for letters in self)
        if read != write:
            raise ValueError(
                f"scan order {self.read}>{self.write} needs equal sizes along the axes that it exchanges, got {shape}"
            )


# The four walks of VMambaMorph. As published the swap of the first two axes is undone on the last two instead, so that
# results land on the wrong voxel; weights trained with the authors' code need exactly that. Cubes only.
VMAMBAMORPH_ORDERS = tuple(ScanOrder.parse(name) for name in ("xyz", "yxz>xzy", "XYZ", "YXZ>XZY"))
VMAMBAMORPH_ORDERS_CORRECTED = tuple(ScanOrder.parse(name) for name in ("xyz", "yxz", "XYZ", "YXZ"))


def walk(volume: Tensor, letters: str) -> Tensor:
    """Return (..., X*Y*Z): the voxels of (..., X, Y, Z) in the order in which the letters visit them."""
    axes = [_AXES.index(letter) - 3 for letter in letters.lower()]
    volume = volume.flip([axis for axis, letter in zip(axes, letters, strict=True) if letter.isupper()])
    leading = range(volume.dim() - 3)
    return volume.permute(*leading, *[volume.dim() + axis for axis in axes]).flatten(-3)


def unwalk(sequence: Tensor, letters: str, shape: tuple[int, int, int]) -> Tensor:
    """The inverse of ``walk``: put (..., X*Y*Z) in walking order back on the volume (..., X, Y, Z)."""
    axes = [_AXES.index(letter) for letter in letters.lower()]
    volume = sequence.unflatten(-1, [shape[axis] for axis in axes])
    back = [axes.index(axis) - 3 for axis in range(3)]
    leading = range(volume.dim() - 3)
    volume = volume.permute(*leading, *[volume.dim() + axis for axis in back])
    return volume.flip([_AXES.index(letter.lower()) - 3 for letter in letters if letter.isupper()])


def walk_indices(letters: str, shape: tuple[int, int, int]) -> Tensor:
    """Return (X*Y*Z,) int64: the row-major index of the voxel visited at each step."""
    return walk(torch.arange(shape[0] * shape[1] * shape[2]).view(shape), letters)
