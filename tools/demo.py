"""``python -m tools demo``: register the sample pair with MambaMorph through MONAI's own command."""

import json
import subprocess
import sys
from pathlib import Path

from common.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "tools" / "sample"


def demo(output_dir: str = "demo_output") -> None:
    """Register the sample pair and print what was written and how good it is.

    Args:
        output_dir: folder for the results, made anew if it is there.

    Raises:
        InputError: the registration failed; its own message stands above.
    """
    target = Path(output_dir).resolve()
    command = [sys.executable, "-m", "monai.bundle", "run"]
    options = {
        "config_file": ROOT / "bundles" / "mambamorph" / "configs" / "inference.json",
        "fixed": SAMPLE / "fixed_t1.nii.gz",
        "moving": SAMPLE / "moving_ct.nii.gz",
        "true_field": SAMPLE / "true_field.nii.gz",
        "output_dir": target,
    }
    command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    print("$ " + " ".join(["python", *command[1:]]), flush=True)
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        raise InputError("the demo's registration failed, see the lines above")
    print(summary(target))


def summary(folder: Path) -> str:
    """Headline figures and files of one finished registration.

    Args:
        folder: the ``output_dir`` of a run with a ``true_field``.
    """
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    before, after = metrics["tre_mm"]["before"], metrics["tre_mm"]["after"]
    field = metrics["field"]
    seconds = metrics["seconds"]
    rows = [
        f"target registration error in the brain: mean {before['mean']:.2f} mm before, {after['mean']:.2f} mm after; "
        f"95th percentile {before['p95']:.2f} mm before, {after['p95']:.2f} mm after",
        f"folded voxels: {field['folds_percent']:.3f} %; SD of log Jacobian: {field['sd_log_jacobian']:.3f}",
        "seconds: " + ", ".join(f"{stage} {value:.1f}" for stage, value in seconds.items()),
        f"peak memory: {metrics['peak_memory_mb']:.0f} MB",
        f"written to {folder}:",
        *[f"  {path.name} ({path.stat().st_size / 1e6:.1f} MB)" for path in sorted(folder.iterdir())],
    ]
    return "\n".join(rows)
