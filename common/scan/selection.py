"""Which backend computes a scan; ``common.scan.seam`` says what a backend is.

``backend="auto"`` takes the first entry of ``PREFERENCE[device]`` that is available. The environment variable
``SCAN_BACKEND`` holds names separated by commas: a plain name forces that backend, a name with a leading minus forbids
it (``SCAN_BACKEND=-cpu``); it is read at every call. An explicit ``backend=`` argument wins over the variable. The
choice is announced once per device at INFO level. A forced backend that cannot run is an error that says why.
"""

import functools
import importlib
import logging
import os

from torch import Tensor

from common.scan.seam import Backend

logger = logging.getLogger(__name__)

# name -> module:class. Order of preference by device type below; the rest may be asked for by name.
BACKENDS: dict[str, str] = {
    "reference": "common.scan.reference:Reference",
    "chunked": "common.scan.chunked:Chunked",
    "cpu": "common.scan.cpu.backend:Compiled",
    "triton": "common.scan.triton.backend:Triton",
    "mamba_ssm": "common.scan.mamba_ssm:MambaSSM",
}
PREFERENCE: dict[str, tuple[str, ...]] = {
    "cpu": ("cpu", "chunked", "reference"),
    "cuda": ("triton", "mamba_ssm", "chunked", "reference"),
}
_FALLBACK = ("chunked", "reference")
_announced: set[tuple[str, str]] = set()


class BackendUnavailableError(RuntimeError):
    """A backend that was asked for cannot run here; the text says why and what to install."""


@functools.cache
def load_backend(name: str) -> Backend:
    """Import and return the backend, one of each a process; ValueError for a name that does not exist."""
    if name not in BACKENDS:
        raise ValueError(f"unknown scan backend {name!r}, expected 'auto' or one of {', '.join(BACKENDS)}")
    module, _, kind = BACKENDS[name].partition(":")
    return getattr(importlib.import_module(module), kind)()


@functools.cache
def availability(name: str, device: str) -> tuple[bool, str]:
    """Whether the backend can run on this device type, and why; never raises for a broken installation."""
    try:
        return load_backend(name).availability(device)
    except ValueError:
        raise
    except Exception as error:  # an optional dependency may fail in any way at all
        return False, f"{type(error).__name__}: {error}"


def available_backends(device: str = "cpu") -> dict[str, tuple[bool, str]]:
    """Every backend with (available, reason) on this device type."""
    return {name: availability(name, device) for name in BACKENDS}


def read_environment() -> tuple[str | None, frozenset[str]]:
    """Parse ``SCAN_BACKEND``: (forced name or None, forbidden names); ValueError for unknown or contradicting names."""
    entries = [entry.strip() for entry in os.environ.get("SCAN_BACKEND", "").split(",") if entry.strip()]
    forbidden = frozenset(entry[1:].strip() for entry in entries if entry.startswith("-"))
    forced = [entry for entry in entries if not entry.startswith("-") and entry != "auto"]
    unknown = [name for name in (*forbidden, *forced) if name not in BACKENDS]
    if unknown or len(forced) > 1:
        raise ValueError(
            f"SCAN_BACKEND={os.environ['SCAN_BACKEND']!r}: expected one name to force and any number of names with a "
            f"leading minus to forbid, out of {', '.join(BACKENDS)}"
        )
    return (forced[0] if forced else None), forbidden


def select_backend(u: Tensor, A: Tensor, B: Tensor, requested: str = "auto") -> str:
    """Return the name of the backend for these tensors (B grouped), announcing a new choice once.

    Raises ValueError for an unknown name and BackendUnavailableError for one that cannot run here.
    """
    device = u.device.type
    how = "asked for by the caller"
    forbidden: frozenset[str] = frozenset()
    if requested == "auto":
        forced, forbidden = read_environment()
        requested, how = (forced, "forced by SCAN_BACKEND") if forced else ("auto", "automatic choice")
    if requested != "auto":
        available, reason = availability(requested, device)
        if not available:
            raise BackendUnavailableError(f"scan backend {requested!r} ({how}) cannot run on {device}: {reason}")
        _announce(device, requested, f"{how}; {reason}")
        return requested
    names, wanted = PREFERENCE.get(device, _FALLBACK), (u.dtype, A.shape[1], B.shape[1])
    for name in names:
        if name not in forbidden and availability(name, device)[0] and load_backend(name).supports(*wanted):
            _announce(device, name, f"{how}; {availability(name, device)[1]}")
            return name
    raise BackendUnavailableError(
        f"no scan backend left on {device}: SCAN_BACKEND={os.environ.get('SCAN_BACKEND', '')!r} forbids "
        f"{', '.join(sorted(forbidden)) or 'none'} out of {', '.join(names)}"
    )


def backend_for(u: Tensor, A: Tensor, B: Tensor, requested: str) -> Backend:
    """The backend that ``select_backend`` names."""
    return load_backend(select_backend(u, A, B, requested))


def _announce(device: str, name: str, why: str) -> None:
    """Say once per device and backend who computes."""
    if (device, name) not in _announced:
        _announced.add((device, name))
        logger.info("selective scan on %s: backend %s (%s)", device, name, why)
