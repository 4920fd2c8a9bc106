"""Convolutions of full volumes on a CPU without the tensors in between, exact up to rounding."""
