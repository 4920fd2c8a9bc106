"""Draw docs/pictures/failures.png: pairs that the network alone does badly, and what the default makes of them.

Needs the data kit beside the checkout (run from the root): ``python -m docs.pictures.failures``.
"""

import tempfile
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from common.bundle import Bundle
from common.images import read_volume, save_volume
from common.report.figures import show
from common.report.planes import cut
from common.report.result import Result, read_result
from common.sample import sample_pair

BUNDLE, AXIS = "mambamorph", 1
DATA = Path("../shared/data")
#: The painted lesion: centre in MNI millimetres, radius, and its brightness as a share of the brightest tissue.
LESION, RADIUS, BRIGHTNESS = np.array([32.0, -8.0, 22.0]), 14.0, 0.3


def main() -> None:
    """Write the picture."""
    template = sample_pair()["fixed"]
    with tempfile.TemporaryDirectory() as scratch:
        lesion = _with_lesion(DATA / "1mm" / "images" / "ss15_t1_1mm.nii.gz", Path(scratch) / "lesion.nii.gz")
        cases = {
            "T2 head": DATA / "real" / "head_t2.nii.gz",
            "wide ventricles": DATA / "1mm" / "images" / "acq03_t1_1mm.nii.gz",
            "lesion, painted in": lesion,
        }
        figure, axes = plt.subplots(len(cases), 4, figsize=(10, 8.4), layout="constrained")
        for row, (name, moving) in zip(axes, cases.items(), strict=True):
            found = [
                _registered(template, moving, Path(scratch) / f"{name} {refine}", refine) for refine in ("off", "auto")
            ]
            _draw(row, name, found)
    figure.savefig("docs/pictures/failures.png", dpi=75)


def _registered(fixed: str, moving: Path, folder: Path, refine: str) -> tuple[Result, dict[str, Any]]:
    """The network's own field, kept whatever is said of it, or the default."""
    options = {"refine": refine, "keep": refine == "off", "outputs": ["none"], "device": "cpu"}
    (made,) = Bundle(BUNDLE).register({"fixed": fixed, "moving": str(moving)}, folder, **options)
    return read_result(folder), made.metrics


def _draw(row: np.ndarray, name: str, found: list[tuple[Result, dict[str, Any]]]) -> None:
    result = found[0][0]
    index = result.centre[AXIS]
    pictures = {"fixed": result.images["fixed"], f"moving: {name}": result.images[result.start]}
    for words, (made, metrics) in zip(("network alone", "default"), found, strict=True):
        similarity = [metrics["similarity"][when]["mutual_information"] for when in ("before", "after")]
        title = f"{words}: MI {similarity[0]:.2f} to {similarity[1]:.2f}"
        pictures[f"{title},\nSD of log Jacobian {metrics['field']['sd_log_jacobian_foreground']:.2f}"] = made.images[
            "moved"
        ]
    for panel, (title, volume) in zip(row, pictures.items(), strict=True):
        show(panel, cut(volume, result, AXIS, index), result, AXIS)
        panel.set_title(title, fontsize=8)


def _with_lesion(path: Path, target: Path) -> Path:
    """A dark ball with a soft edge in a copy of an image."""
    volume = read_volume(path, "image")
    voxels = np.asarray(volume.voxels, dtype=np.float32)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in voxels.shape), indexing="ij"), axis=-1)
    world = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    inside = np.clip(RADIUS - np.linalg.norm(world - LESION, axis=-1), 0, 2) / 2
    save_volume(voxels * (1 - inside) + BRIGHTNESS * voxels.max() * inside, volume.affine, target)
    return target


if __name__ == "__main__":
    main()
