"""A bundle's network with given weights on the validation pairs, as ``inference.json`` runs it, refinement off."""

from pathlib import Path

import torch

from common.bundle import Bundle
from common.bundle.folder import build_network
from common.spatial.passes import coarse_to_fine, passes_of
from common.training.config import classes_of
from common.training.grid import TrainingGrid
from common.training.scores import by_kind, score
from common.training.volumes import load_pairs
from common.training.weights import start_from


@torch.no_grad()
def score_weights(
    bundle: str, weights: Path, datalist: Path, spacing: float = 0.0, device: str = "cpu"
) -> dict[str, float]:
    """Score weights on a datalist's validation pairs.

    Args:
        bundle: whose network it is, and whose passes where nothing is refined.
        weights: a state dict, in any precision.
        datalist: with labelled validation pairs.
        spacing: mm of the voxels; 0 takes the bundle's own. Elsewhere the passes are the same, in voxels.
        device: where to.

    Returns:
        ``common.training.scores.by_kind``: labels by the nearest voxel on that grid, no border left out.

    Raises:
        InputError: the weights are of another network, or the pairs cannot be read.
    """
    config = Bundle(bundle).parser(refine="off")
    passes = passes_of(config.get_parsed_content("passes"))
    network = build_network(bundle)
    start_from(network, weights)
    network.to(device).eval()
    grid = TrainingGrid(spacing or config["spacing"], None, config["multiple"] * max(passes), config["cube"])
    pairs = load_pairs(str(datalist), grid)
    classes, rows, kinds = classes_of(str(datalist)), [], []
    for number in range(len(pairs)):
        pair = pairs[number]
        ddf = coarse_to_fine(network, pair["image"][None].to(device), passes).float().cpu()
        rows.append(score(ddf, pair["moving_label"][None], pair["fixed_label"][None], classes))
        kinds.append(pair["kind"])
    return by_kind(rows, kinds)
