"""The selective scan: one function, several backends behind it.

Public: ``selective_scan`` (the operator of state-space models, along one axis), ``cross_scan`` (several walks over a
volume, summed), ``causal_convolution`` (what stands in front of a scan), ``stream_mamba`` (a whole Mamba block in
inference on the CPU), ``SCAN_BACKEND`` and ``backend=`` to choose who computes. ``common.scan.seam`` documents what a
backend has to offer. Importing this package compiles nothing and imports no optional dependency.
"""

from common.scan.causal import causal_convolution
from common.scan.cpu.stream import MambaWeights, stream_mamba
from common.scan.cross import cross_scan
from common.scan.interface import selective_scan
from common.scan.orders import VMAMBAMORPH_ORDERS, VMAMBAMORPH_ORDERS_CORRECTED, ScanOrder
from common.scan.selection import BackendUnavailableError, available_backends, select_backend

__all__ = [
    "VMAMBAMORPH_ORDERS",
    "VMAMBAMORPH_ORDERS_CORRECTED",
    "BackendUnavailableError",
    "MambaWeights",
    "ScanOrder",
    "available_backends",
    "causal_convolution",
    "cross_scan",
    "select_backend",
    "selective_scan",
    "stream_mamba",
]
