"""What a registration would do with two files: found out by its own steps before the network, nothing written."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor

from common.bundle import Bundle
from common.geometry import orientation_of, spacing_of
from common.machine import processor
from common.registration.grids import grid_of
from common.registration.masks import mask_writers
from common.registration.outputs import AFFINE_FILE, OUTPUTS, outputs_of
from common.registration.points import points_file_of
from common.registration.quality_figures import contrasts, regions_of
from common.registration.safety_net import counted_in
from common.spatial.passes import passes_of
from common.switches import switch

#: CPU seconds of one thread per million voxels of a pass, float32: docs/benchmarks/network_cpu.md.
NETWORK_SECONDS = {
    "MambaMorph": 2.9, "VMambaMorph": 3.1, "PSMamba-Net": 3.9, "PSMamba-Net (diffeomorphic)": 4.3, "ViT-V-Net": 2.4,
    "CAMLMorph": 3.8, "VoxelMorph": 1.5, "TransMorph": 3.3, "XMorpher": 1.6, "no network": 0.0,
}  # fmt: skip
#: The same of a refinement, by preset and number of contrasts: docs/refinement.md.
REFINEMENT_SECONDS = {("off", 1): 0.0, ("off", 2): 0.0, ("fast", 1): 1.9, ("fast", 2): 2.2}
ACCURATE_SECONDS = {1: 2.2, 2: 3.4}
#: Seconds for each million voxels of the fixed image: fields, figures, packing of the files.
FILES_SECONDS = 1.7
#: GB: the libraries, and for each million voxels of the network's grid and of the fixed image.
LIBRARIES_GB, GRID_GB, FIXED_GB = 0.6, 0.25, 0.2


def plan_lines(bundle: Bundle, pair: Mapping[str, str], output_dir: str, options: Mapping[str, Any]) -> list[str]:
    """Prepare a pair and describe what would follow.

    Args:
        bundle: which one.
        pair: paths ``fixed`` and ``moving``.
        output_dir: where results would go.
        options: keys of ``inference.json``.

    Raises:
        InputError: what a run would raise before its network.
    """
    keys = bundle.parser(**options)
    prepared = bundle.prepare(pair, output_dir, **options)
    image = torch.as_tensor(prepared["image"]).as_subclass(torch.Tensor)
    number, _ = contrasts(image, regions_of(image, counted_in(prepared)))
    passes, preset = passes_of(keys.get_parsed_content("passes")), str(keys["refine"])
    lines = [*_images(prepared), *_alignment(prepared), f"contrasts: {'one' if number == 1 else 'two'}"]
    spacing = float(spacing_of(prepared["image"].affine.numpy())[0])
    grid, work = "x".join(map(str, image.shape[1:])), " and ".join(f"{spacing * factor:g}" for factor in passes)
    name = str(keys["bundle_name"])
    lines.append(f"network: {name}" + ("" if name == "no network" else f" on {grid} voxels, a look at {work} mm"))
    lines.append(_refinement(preset, number))
    lines += _costs(prepared, name, passes, preset, number)
    names = _files(prepared, keys["outputs"], switch(keys["report"]))
    lines.append(f"files in {Path(output_dir).absolute()}: {', '.join(names)}")
    return [*lines, "nothing was written"]


def _images(prepared: Mapping[str, Any]) -> Iterator[str]:
    for role in ("fixed", "moving"):
        image: MetaTensor = prepared[role]
        affine = image.affine.numpy()
        shape, spacing = "x".join(map(str, image.shape[1:])), "x".join(f"{s:.3g}" for s in spacing_of(affine))
        low, high = float(image.min()), float(image.max())
        yield (
            f"{role}: {Path(image.meta['filename_or_obj']).name}, {shape} voxels of {spacing} mm, "
            f"{orientation_of(affine)}, values {low:g} to {high:g}"
        )


def _alignment(prepared: Mapping[str, Any]) -> Iterator[str]:
    if "brain_figures" in prepared:
        yield f"brain: {json.loads(prepared['brain_figures'])['word'] or 'nothing to strip'}"
    if prepared.get("identical_inputs"):
        yield "both are the same image: the field would be zero"
    if "alignment_figures" not in prepared:
        yield "alignment: switched off"
        return
    figures = json.loads(prepared["alignment_figures"])
    yield f"alignment: {figures['word']}"
    yield from (f"warning: the alignment may be wrong: {reason}" for reason in figures["implausible"])


def _refinement(preset: str, contrasts: int) -> str:
    way = "local correlation" if contrasts == 1 else "a brain's structures, MIND-SSC, then local correlation"
    return "refinement: off" if preset == "off" else f"refinement: {preset}, by {way} if refine_similarity is auto"


def _costs(prepared: Mapping[str, Any], name: str, passes: Sequence[int], preset: str, contrasts: int) -> Iterator[str]:
    """From what was measured per voxel on one CPU and from what this machine's threads are."""
    voxels = math.prod(prepared["image"].shape[1:]) / 1e6
    fixed = math.prod(grid_of(prepared["fixed"]).shape) / 1e6
    refinement = REFINEMENT_SECONDS.get((preset, contrasts), ACCURATE_SECONDS[contrasts])
    network = NETWORK_SECONDS.get(name, max(NETWORK_SECONDS.values())) * sum(1 / factor**3 for factor in passes)
    aligning = float(prepared["clock"].get("align", 0.0))
    threads = torch.get_num_threads()
    seconds = aligning + fixed * FILES_SECONDS + voxels * (network + refinement) / min(threads, 2)
    memory = LIBRARIES_GB + GRID_GB * voxels + FIXED_GB * fixed
    yield (
        f"an estimate: {seconds:.0f} s on {threads} thread{'s' * (threads > 1)} of {processor()} without a GPU, "
        f"{memory:.1f} GB of memory"
    )


def _files(prepared: Mapping[Any, Any], outputs: Any, report: bool) -> list[str]:
    names = ["moved.nii.gz", "warp.nii.gz", "jacobian.nii.gz"]
    names += ["moved_label.nii.gz"] * ("moving_label" in prepared)
    names += [name for name in [points_file_of(prepared)] if name] + [OUTPUTS[name] for name in outputs_of(outputs)]
    names += [*mask_writers(prepared), *[AFFINE_FILE] * ("alignment" in prepared)]
    return [*names, *["report.html", "report.png"] * report, "metrics.json"]
