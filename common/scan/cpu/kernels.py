# mypy: ignore-errors
"""The entry points of the CPU kernels, with the argument types that ``common.scan.cpu.sizes`` gives them.

The kernels release the GIL and use no numba threads: the callers give each thread its own range of tiles.
"""

from typing import get_type_hints

from numba import types

from common.scan.cpu import sizes
from common.scan.cpu.backward import scan_backward
from common.scan.cpu.forward import convolve, scan_forward

__all__ = ["SIGNATURES", "convolve", "scan_backward", "scan_forward"]

_TYPES = {
    sizes.Floats: types.float32[::1],
    sizes.Doubles: types.float64[::1],
    sizes.Voxels: types.int64[::1],
    int: types.int64,
    bool: types.boolean,
}


def _type(hint):
    """The numba type of a number, a flat array or a named tuple of equal fields."""
    if hint in _TYPES:
        return _TYPES[hint]
    fields = [_type(field) for field in get_type_hints(hint).values()]
    return types.NamedUniTuple(fields[0], len(fields), hint)


# argument types of the entry points, so that loading or compiling one needs no data
SIGNATURES = {
    name: tuple(_type(hint) for hint in get_type_hints(arguments).values())
    for name, arguments in (
        ("scan_forward", sizes.ForwardArguments),
        ("scan_backward", sizes.BackwardArguments),
        ("convolve", sizes.ConvolveArguments),
    )
}
