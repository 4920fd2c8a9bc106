"""Kernels that numba compiles: how they are declared and kept, their threads, and vectors of sixteen numbers."""
