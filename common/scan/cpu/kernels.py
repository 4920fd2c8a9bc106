# mypy: ignore-errors
"""The entry points of the CPU kernels and their argument types.

All arrays are flat; ``strides`` holds, for each sequence, its channel and step strides, in elements. The kernels
release the GIL and use no numba threads: the callers give each thread its own range of tiles.
"""

from numba import types

from common.scan.cpu.backward import scan_backward
from common.scan.cpu.forward import convolve, scan_forward

__all__ = ["SIGNATURES", "convolve", "scan_backward", "scan_forward"]

_FLOATS, _DOUBLES, _OFFSETS = types.float32[::1], types.float64[::1], types.int64[::1]
_NUMBER = types.int64
# argument types of the entry points, so that loading or compiling one needs no data
SIGNATURES = {
    "scan_forward": (*[_FLOATS] * 11, *[_OFFSETS] * 6, _FLOATS),
    "convolve": (_FLOATS, _NUMBER, _FLOATS, _FLOATS, _FLOATS, _NUMBER, _NUMBER, _NUMBER),
    "scan_backward": (*[_FLOATS] * 16, _DOUBLES, *[_OFFSETS] * 6, _FLOATS),
}
