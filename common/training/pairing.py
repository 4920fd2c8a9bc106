"""Which two subjects make an item: the papers' ways of going through their training pairs."""

import functools
from collections.abc import Sequence

import torch

from common.data.augment import uniform
from common.errors import InputError

PAIRINGS = ("drawn", "ordered", "to_atlas", "from_atlas", "taught")


def check_pairing(how: str) -> str:
    """Return the name of a way of pairing.

    Raises:
        InputError: there is no such way.
    """
    if how not in PAIRINGS:
        raise InputError(f"pairing: expected one of {', '.join(PAIRINGS)}, got {how!r}")
    return how


def paired(
    how: str,
    index: int,
    subjects: int,
    seed: int,
    generator: torch.Generator,
    taught: Sequence[tuple[int, int]] = (),
) -> tuple[int, int]:
    """Return the moving and the fixed subject of item ``index``, a function of ``(seed, index)``.

    Args:
        how: ``drawn``: both sides with replacement, so that they may be one subject (MambaMorph's code). ``ordered``:
            every ordered pair of two subjects once, in another random order each time all are through (PSMamba-Net:
            870 of 30 subjects). ``to_atlas``, ``from_atlas``: the list's first subject is the fixed, the moving side;
            the others come in the same manner as ordered pairs. ``taught``: so do the pairs of a teacher.
        index: number of the item, from 0 on for ever.
        subjects: how many there are.
        seed: of the orders.
        generator: of the item itself, for ``drawn``.
        taught: the pairs for ``taught``.
    """
    if how == "taught":
        return taught[_shuffled(index, len(taught), seed)]
    if how == "drawn" or subjects < 2:
        first, second = (int(uniform(generator, 0, subjects)) for _ in range(2))
        return first, second
    if how == "ordered":
        first, rest = divmod(_shuffled(index, subjects * (subjects - 1), seed), subjects - 1)
        return first, rest + (rest >= first)
    other = 1 + _shuffled(index, subjects - 1, seed)
    return (other, 0) if how == "to_atlas" else (0, other)


def _shuffled(index: int, total: int, seed: int) -> int:
    """Position ``index`` of endless rounds through ``total`` numbers, each round in an order of its own."""
    turn, place = divmod(index, total)
    return int(_order(seed * 1_000_003 + turn, total)[place])


@functools.lru_cache(maxsize=4)
def _order(seed: int, total: int) -> torch.Tensor:
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed % 2**63))
