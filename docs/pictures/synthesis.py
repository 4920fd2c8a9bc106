"""Draw docs/pictures/synthesis.png: label maps and images synthesised from them (run from the repository root).

The upper row needs no data (random shapes). The lower row starts from the template of the sample pair, cut into fluid,
grey and white matter by its intensities.
"""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch

from common.data.augment import deform, random_field
from common.data.shapes import random_shapes
from common.data.synthesis import render
from common.images import read_volume

IDENTIFIERS = [0, 24, 3, 2]  # background, fluid, cortex, white matter


def template_classes() -> torch.Tensor:
    """Three tissue classes of the template by two intensity thresholds, every second voxel."""
    image = read_volume("common/sample/fixed_t1.nii.gz", "sample").in_ras()
    voxels = np.asarray(image.voxels, dtype=np.float32)[::2, ::2, ::2]
    low, high = np.quantile(voxels[voxels > 0], [0.2, 0.6])
    return torch.from_numpy(((voxels > 0).astype(np.uint8) + (voxels > low) + (voxels > high)).astype(np.uint8))


def main() -> None:
    """Write the picture."""
    generator = torch.Generator().manual_seed(7)
    shapes, tissue = random_shapes((96, 112, 96), generator), template_classes()
    rows = []
    for label, contrasts in ((shapes, ["random"] * 4), (tissue, ["random", "random", "t1", "ct"])):
        row = [("labels", label)]
        for contrast in contrasts:
            field = random_field(label.shape, generator, 2.0)
            _, moved = deform(torch.zeros(1, *label.shape), label, field)
            row.append((contrast, render(moved, contrast, generator, IDENTIFIERS)[0]))
        rows.append(row)
    figure, axes = plt.subplots(2, 5, figsize=(9, 4.1))
    for row, line in zip(rows, axes, strict=True):
        for (title, volume), axis in zip(row, line, strict=True):
            slice_ = volume[:, :, volume.shape[2] // 2].T.flip(0)
            axis.imshow(slice_, cmap="nipy_spectral" if title == "labels" else "gray")
            axis.set_title(title, fontsize=9)
            axis.axis("off")
    figure.tight_layout(pad=0.4)
    figure.savefig("docs/pictures/synthesis.png", dpi=70)


if __name__ == "__main__":
    main()
