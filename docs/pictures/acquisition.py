"""Draw docs/pictures/acquisition.png: the defects that training shows, one by one and together (run from the root)."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor

from common.data.acquisition import acquired, poorly_stripped, resampled, shaded, with_remnants
from common.data.synthesis import crop_field_of_view, render, thick_slices
from common.images import read_volume
from docs.pictures.synthesis import IDENTIFIERS, template_classes


def main() -> None:
    """Write the picture."""
    file = read_volume("common/sample/fixed_t1.nii.gz", "sample").in_ras()
    image = torch.from_numpy(np.asarray(file.voxels, dtype=np.float32)[::2, ::2, ::2].copy())[None]
    image, tissue = image / image.max(), template_classes()
    inside = tissue[None] > 0

    def drawn(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    one: list[tuple[str, Tensor]] = [
        ("T1", image),
        ("shaded", shaded(image, drawn(3), 1.0)),
        ("thick slices", thick_slices(image, drawn(7))),
        ("resampled", resampled(image, drawn(1))),
        ("poorly stripped", poorly_stripped(image, inside, drawn(8))),
        ("remnants", with_remnants(image, inside, drawn(1))),
        ("cut field", crop_field_of_view(image, drawn(8))),
    ]
    several = [(f"T1, seed {seed}", acquired(image, inside, drawn(seed))) for seed in range(3)]
    for contrast in ("t2", "pd", "flair", "ct"):
        clean = render(tissue, contrast, drawn(5), IDENTIFIERS, low_resolution=0.0)
        several.append((f"like {contrast}, seed 11", acquired(clean, inside, drawn(11))))
    figure, axes = plt.subplots(2, 7, figsize=(11, 4.6))
    for (title, volume), axis in zip([*one, *several], axes.flat, strict=True):
        axis.imshow(volume[0, :, :, volume.shape[3] // 2].T.flip(0), cmap="gray", vmin=0, vmax=1)
        axis.set_title(title, fontsize=8)
        axis.axis("off")
    figure.tight_layout(pad=0.4)
    figure.savefig("docs/pictures/acquisition.png", dpi=70)


if __name__ == "__main__":
    main()
