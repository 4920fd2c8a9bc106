"""One bundle's training as a process of its own, which ends in time."""

import csv
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.places import find_bundle
from common.training.run_folder import RunFolder
from common.writing import save_json

ROOT = Path(__file__).resolve().parents[2]
#: Seconds that a process gets to end by itself before it is killed.
PATIENCE = 10.0


def train(bundle: str, folder: Path, options: Mapping[str, Any], minutes: float, grace: float = 0.0) -> int:
    """Train a bundle by its train.json and synth.json, in a process of its own.

    A folder with a checkpoint goes on with it.

    Args:
        bundle: name or folder.
        folder: of the run; what the process says goes to ``output.txt`` in it.
        options: keys of train.json with their values.
        minutes: the run ends with the epoch in which they are over, its learning rate at zero.
        grace: further minutes after which the process is stopped; what the last epoch's checkpoint holds stays.

    Returns:
        The steps that the run has made in all.

    Raises:
        InputError: the run failed.
    """
    run = RunFolder(str(folder))
    goes_on = run.last.exists()
    further = {"ckpt_dir": str(folder), "minutes": minutes, "resume": goes_on, "overwrite": not goes_on}
    save_json({**options, **further, "progress": False, "logging_file": False}, folder / "options.json")
    configs = [str(find_bundle(bundle) / "configs" / name) for name in ("train.json", "synth.json")]
    words = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(configs)]
    words += ["--args_file", str(folder / "options.json")]
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with (folder / "output.txt").open("a", encoding="utf-8") as output:
        process = subprocess.Popen(
            words, cwd=folder, env={**os.environ, "PYTHONPATH": paths}, stdout=output, stderr=subprocess.STDOUT
        )
        code = _wait(process, 60 * (minutes + grace))
    if code:
        said = (folder / "output.txt").read_text(encoding="utf-8").strip().splitlines()
        raise InputError(f"training {bundle} failed: {said[-1] if said else code} ({folder / 'output.txt'})")
    return steps_of(run.log)


def _wait(process: subprocess.Popen, seconds: float) -> int:
    """Exit code of a process; 0 where it had to be stopped."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.terminate()
    except BaseException:  # this program is ending, so the process does too
        process.kill()
        raise
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return 0


def rows_of(log: Path) -> list[dict[str, str]]:
    """The rows of a run's log; none where there is no log."""
    if not log.exists():
        return []
    with log.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def steps_of(log: Path) -> int:
    """The last step in a log."""
    return max((int(row["step"]) for row in rows_of(log)), default=0)
