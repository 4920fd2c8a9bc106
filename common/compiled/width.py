"""The number of lanes: how many float32 numbers the compiled kernels work on at once. Needs no numba."""

WIDTH = 16
