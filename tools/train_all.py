"""``python -m tools train_all``: train all bundles in a given time, and take over what became better."""

import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from common.bundle.folder import read_json
from common.errors import InputError
from common.machine import command_line
from common.places import find_bundle
from common.training.run_folder import RunFolder
from common.training.weights import load, read_weights, save
from common.writing import check_writable, save_json, write_atomically, write_csv
from tools.weights.curves import draw_curves, write_curve
from tools.weights.recipe import options_of
from tools.weights.scoring import score_weights
from tools.weights.shares import share_of, weights_of
from tools.weights.training import train
from tools.weights.verdict import verdict

RESULT, TABLE = "result.json", "table.csv"


def train_all(
    datalist: Path,
    output: Path,
    minutes: float = 30.0,
    bundles: Sequence[str] = (),
    teacher_fields: str = "",
    device: str = "",
    workers: int = 1,
    threads: int = 1,
    score_spacing: float = 0.0,
    from_nothing: bool = False,
    replace: bool = False,
    **options: Any,
) -> None:
    """Train bundles one after the other by priority, from their weights, and score old and new ones.

    Goes on where it was stopped: bundles with a result are left alone, a run with a checkpoint is resumed, and
    --minutes counts anew. A folder a bundle holds run/ (docs/training.md), curve.csv and curve.png, model.pt in the
    shipped types, and result.json; table.csv and curves.png are of all.

    Args:
        datalist: training subjects and labelled validation pairs.
        output: where to.
        minutes: until everything has ended, scoring included.
        bundles: names, or NAME:WEIGHT for a share of one's own; all by priority without it.
        teacher_fields: what python -m tools teach made.
        device: cpu, cuda and so on; a GPU where there is one.
        workers: bundles that train side by side: CPU cores.
        threads: of each.
        score_spacing: mm of the voxels that old and new weights are scored on; the bundle's own without it.
        from_nothing: start from first weights, not from the shipped ones.
        replace: put better weights into the bundle. Without it they stay in OUTPUT.
        options: keys of train.json, such as --spacing 4.0 --learning_rate 0.0001.

    Raises:
        InputError: a bundle, list or option that is none; a training that failed.
    """
    began = time.monotonic()
    folder, weights = check_writable(output), weights_of(bundles)
    for name in weights:
        find_bundle(name)
    chosen = options_of(datalist, teacher_fields, device or _device(), threads, **options)
    work = _Work(folder, began + 60 * minutes, workers, score_spacing, from_nothing, chosen)
    work.waiting = {name: weight for name, weight in weights.items() if not (_home(folder, name) / RESULT).exists()}
    with ThreadPoolExecutor(workers) as pool:
        failures = [task.exception() for task in [pool.submit(work.one, name) for name in list(work.waiting)]]
    _sum_up(folder, list(weights), replace)
    for failure in filter(None, failures):  # what the other bundles came to is written by now
        raise failure


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _home(folder: Path, bundle: str) -> Path:
    """Where a bundle's results lie, by its folder's name."""
    return folder / find_bundle(bundle).name


class _Work:
    """What the bundles of one call share: the clock, the options, and how long scoring takes."""

    def __init__(
        self, folder: Path, end: float, workers: int, spacing: float, from_nothing: bool, options: Mapping[str, Any]
    ) -> None:
        self.folder, self.end, self.workers, self.spacing = folder, end, workers, spacing
        self.from_nothing, self.options = from_nothing, dict(options)
        self.waiting: dict[str, float] = {}
        self.scoring = 0.0  # longest time in minutes that one set of weights took
        self.lock = Lock()

    def one(self, bundle: str) -> None:
        """Train and score one bundle, write its result."""
        try:
            self._one(bundle)
        except Exception as error:
            print(f"{bundle}: {error}", flush=True)
            raise
        finally:
            self.waiting.pop(bundle, None)

    def _one(self, bundle: str) -> None:
        home, shipped = _home(self.folder, bundle), find_bundle(bundle) / "models" / "model.pt"
        home.mkdir(parents=True, exist_ok=True)
        old = self._scored(bundle, shipped)
        with self.lock:
            reserve = self.scoring * 4  # the old weights of the next bundles, and the best and the last of the new ones
            left = (self.end - time.monotonic()) / 60
            minutes = share_of(bundle, self.waiting, left, self.workers, reserve)
            del self.waiting[bundle]
        if minutes <= 0:
            print(f"{bundle}: no time is left", flush=True)
            return
        print(f"{bundle}: {minutes:.1f} minutes of training", flush=True)
        start = {} if self.from_nothing else {"initial": str(shipped)}
        run = RunFolder(str(home / "run"))
        # Start-up and the last epoch's end come on top of a run's own time: a tenth of the share is for them.
        steps = train(bundle, run.path, {**start, **self.options}, 0.9 * minutes, 0.1 * minutes)
        rows = write_curve(run.log, home / "curve.csv")
        draw_curves({bundle: rows}, home / "curve.png", self._clock())
        scores = {file: self._scored(bundle, file) for file in (run.best, run.last) if file.exists()}
        if not scores:
            print(f"{bundle}: no epoch ended in its time, {steps} steps", flush=True)
            return
        best = max(scores, key=lambda file: _mean_dice(scores[file]))
        save(in_types_of(read_weights(best), load(shipped)), home / "model.pt")
        new = self._scored(bundle, home / "model.pt")  # what is written, not what was trained
        better, why = verdict(old, new)
        facts = {"steps": steps, "minutes": round(minutes, 1), "old": old, "new": new, "better": better, "why": why}
        save_json({"bundle": bundle, **facts, "options": self.options, "command": command_line()}, home / RESULT, 5)
        print(f"{bundle}: {'better' if better else 'not better'}: {why}", flush=True)

    def _scored(self, bundle: str, weights: Path) -> dict[str, float]:
        began = time.monotonic()
        scores = score_weights(
            bundle, weights, Path(self.options["datalist"]), self.spacing, str(self.options["device"])
        )
        self.scoring = max(self.scoring, (time.monotonic() - began) / 60)
        return scores

    def _clock(self) -> str:
        return "cpu_seconds" if str(self.options["device"]) == "cpu" else "seconds"


def in_types_of(state: Mapping[str, torch.Tensor], shipped: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a state dict in the types that the shipped one has, so that the file is as small.

    Raises:
        InputError: other names.
    """
    if state.keys() != shipped.keys():
        other = sorted(state.keys() ^ shipped.keys())
        raise InputError(f"expected the tensors of the shipped weights, got others: {', '.join(other[:3])}")
    return {name: value.to(shipped[name].dtype) for name, value in state.items()}


def _mean_dice(scores: Mapping[str, float]) -> float:
    dice = [value for name, value in scores.items() if name.startswith("dice")]
    return sum(dice) / len(dice)


def _sum_up(folder: Path, bundles: Sequence[str], replace: bool) -> None:
    """Write the table and the curves of all bundles that have a result; replace weights where that is asked for."""
    rows: list[dict[str, Any]] = []
    curves = {}
    for bundle in (bundle for bundle in bundles if (_home(folder, bundle) / RESULT).exists()):
        home, target = _home(folder, bundle), find_bundle(bundle) / "models" / "model.pt"
        result = read_json(home / RESULT)
        row = {"bundle": bundle, "steps": result["steps"], "minutes": result["minutes"]}
        for name, value in result["old"].items():
            row |= {f"{name}, old": value, f"{name}, new": result["new"][name]}
        rows.append({**row, "better": result["better"], "why": result["why"]})
        curves[home.name] = write_curve(home / "run" / "log.csv", home / "curve.csv")
        if result["better"] and replace:
            write_atomically(target, partial(shutil.copyfile, home / "model.pt"))
            print(f"replaced: {target} ({result['why']})")
        elif result["better"]:
            print(f"{home / 'model.pt'} is better than {target}: --replace true puts it there")
    write_csv(rows, folder / TABLE, 5)
    on_gpu = any(
        row for row in rows if str(read_json(_home(folder, row["bundle"]) / RESULT)["options"]["device"]) != "cpu"
    )
    draw_curves(curves, folder / "curves.png", "seconds" if on_gpu else "cpu_seconds")
    print(f"{len(rows)} of {len(bundles)} bundles have a result: {folder / TABLE}")
