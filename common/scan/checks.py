"""Checks of what was given to a scan, before any of it reaches an operator."""

from collections.abc import Mapping

from common.scan.seam import CrossScan, Scan


def check_shapes(function: str, scan: Scan | CrossScan, shapes: Mapping[str, tuple[int, ...]], note: str = "") -> None:
    """Raise ValueError for the first tensor of another shape than expected, or on another device than u.

    Args:
        function: name of the function that was called, for the text.
        scan: what it was given.
        shapes: the shape of each of these tensors, if it was given.
        note: what the shapes follow from, if not from u alone.
    """
    for name, shape in shapes.items():
        tensor = getattr(scan, name)
        if tensor is None:
            continue
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{function}: {name} must be {shape}{note}, got {tuple(tensor.shape)}")
        if tensor.device != scan.u.device:
            raise ValueError(f"{function}: {name} is on {tensor.device}, u is on {scan.u.device}")
