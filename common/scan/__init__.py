"""The selective scan: one function, several backends behind it.

Public: ``selective_scan`` (the operator of state-space models, along one axis), ``cross_scan`` (several walks over a
volume, summed), ``SCAN_BACKEND`` and ``backend=`` to choose who computes. ``common.scan.selection`` documents the seam
that a backend plugs into. Importing this package compiles nothing and imports no optional dependency.
"""

from common.scan.cross import cross_scan
from common.scan.interface import selective_scan
from common.scan.orders import VMAMBAMORPH_ORDERS, VMAMBAMORPH_ORDERS_CORRECTED, ScanOrder
from common.scan.selection import BackendUnavailableError, available_backends, select_backend

__all__ = [
    "VMAMBAMORPH_ORDERS",
    "VMAMBAMORPH_ORDERS_CORRECTED",
    "BackendUnavailableError",
    "ScanOrder",
    "available_backends",
    "cross_scan",
    "select_backend",
    "selective_scan",
]
