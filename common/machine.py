"""What a figure was measured with: versions, the processor's name, the memory that was needed, the command."""

import platform
import shlex
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Installed versions by distribution name; ``python`` is the interpreter, what is not installed is left out.

    >>> list(versions(["python", "numpy", "no-such-package"]))
    ['python', 'numpy']
    """
    found = {}
    for name in packages:
        try:
            found[name] = platform.python_version() if name == "python" else version(name)
        except PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far in MB (10^6 bytes), NaN where the system does not say.

    Linux's own mark comes first: the one of ``resource`` begins with the memory of the process that started this one.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    except (OSError, StopIteration):
        try:
            import resource  # Windows has none
        except ImportError:
            return float("nan")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return round(peak / 1e6, 1)


def command_line() -> str:
    """The words that this process was started with, as a POSIX shell takes them."""
    return shlex.join(sys.orig_argv)
