"""Commands run side by side, and what they took together: seconds, CPU seconds, memory of all their processes."""

import math
import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Seconds between two looks at the memory.
EVERY = 0.2


@dataclass(frozen=True)
class Taken:
    """What some commands took.

    Attributes:
        seconds: from the start of the first to the end of the last.
        cpu_seconds: of all their processes.
        largest_mb: largest resident memory of one process, MB (10^6 bytes); NaN where the system does not say.
        together_mb: largest sum of the resident memory of all processes; pages that they share count for each of them.
        others_percent: of the machine's cores, what other programs took meanwhile; NaN where the system does not say.
        error: the last line that a failed one said; empty where all went well.
    """

    seconds: float
    cpu_seconds: float
    largest_mb: float
    together_mb: float
    others_percent: float = math.nan
    error: str = ""


def watched(commands: Sequence[Sequence[str]], folder: Path, environment: Mapping[str, str]) -> Taken:
    """Run commands at the same time and wait for all of them.

    Args:
        commands: the words of each.
        folder: where they run.
        environment: of all of them.
    """
    before, busy, start = os.times(), _busy_seconds(), time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        processes = [
            subprocess.Popen(list(words), cwd=folder, env=dict(environment), stdout=said, stderr=said)
            for words in commands
        ]
        largest, together = 0.0, 0.0
        while any(process.poll() is None for process in processes):
            memory = [_memory_mb(pid) for pid in _family(process.pid for process in processes)]
            largest = max(largest, *(peak for peak, _ in memory), 0.0)
            together = max(together, sum(now for _, now in memory))
            time.sleep(EVERY)
        seconds, after, busy = time.perf_counter() - start, os.times(), _busy_seconds() - busy
        said.seek(0)
        lines = [line.strip() for line in said if line.strip()]
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    # Our own look at the memory counts as another program's: it is none of theirs.
    others = 100 * max(0.0, busy - spent) / (seconds * (os.cpu_count() or 1))
    failed = any(process.returncode for process in processes)
    error = (lines[-1] if lines else "it ended without a word") if failed else ""
    return Taken(seconds, spent, largest or math.nan, together or math.nan, others if busy == busy else math.nan, error)


def _busy_seconds() -> float:
    """Seconds that all cores together have worked since the machine started; NaN where Linux's list is not there."""
    words = _read(Path("/proc/stat")).partition("\n")[0].split()
    if len(words) < 9:
        return math.nan
    user, nice, system, _, _, interrupts, soft, stolen = map(int, words[1:9])
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")


def _family(pids: Iterable[int]) -> list[int]:
    """Processes and all that they started, as Linux lists them; none elsewhere."""
    found, todo = [], list(pids)
    while todo:
        found.append(todo.pop())
        for path in Path("/proc", str(found[-1]), "task").glob("*/children"):
            todo += [int(word) for word in _read(path).split()]
    return found


def _memory_mb(pid: int) -> tuple[float, float]:
    """Largest and present resident memory of a process in MB; zeros where it is gone."""
    lines = dict(line.split(":", 1) for line in _read(Path("/proc", str(pid), "status")).splitlines() if ":" in line)
    peak, now = (float((lines.get(name) or "0").split()[0]) * 1.024e-3 for name in ("VmHWM", "VmRSS"))
    return peak, now


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:  # the process has ended meanwhile
        return ""
