"""Kernels that numba compiles: threads and caches for them, and vectors of sixteen numbers inside them."""
