"""``python -m tools train_anatomy``: train the network that tells a brain's structures."""

import copy
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import torch
from torch import Tensor, nn

from common.anatomy import SPACING, STRUCTURES, anatomy_network, channels_of
from common.anatomy.description import normalised
from common.data.datalist import file_entries, read_section
from common.errors import InputError
from common.metrics.overlap import dice_per_structure, mean_ignoring_nan
from common.training.anatomy import AnatomySamples, anatomy_loss
from common.training.config import identifiers_of
from common.training.grid import TrainingGrid
from common.training.volumes import ValidationPairs, load_pairs, load_subjects
from common.training.weights import half_precision, save, start_from
from common.writing import check_writable

#: Steps of the rise of the rate, and its highest value; it falls along a cosine to zero.
WARM, RATE = 100, 2e-3
#: Weight of what was, in the mean of the weights that is kept; lower at the beginning.
KEPT = 0.995
#: Samples that are drawn ahead.
AHEAD = 4


def train_anatomy(
    datalist: Path,
    output: Path,
    minutes: float = 60.0,
    initial: str = "",
    device: str = "",
    seed: int = 0,
    report: float = 5.0,
) -> None:
    """Train the anatomy network on labelled subjects and write its weights in half precision.

    Prints the mean Dice on the images of the validation pairs as it goes. docs/anatomy.md: how the weights that come
    with the package were made.

    Args:
        datalist: training subjects with labels, their freesurfer_ids, and validation pairs.
        output: the file of the weights.
        minutes: until the last step.
        initial: weights to begin with.
        device: cpu, cuda and so on; a GPU where there is one.
        seed: of the samples and the first weights.
        report: minutes between two scores.

    Raises:
        InputError: the list cannot be used, or its labels have no FreeSurfer numbers.
    """
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    check_writable(output.parent)
    identifiers = identifiers_of(str(datalist))
    if identifiers is None:
        raise InputError(f"datalist {datalist}: expected freesurfer_ids, the FreeSurfer number of each label value")
    grid = TrainingGrid(SPACING, None, 16)
    modalities = sorted(set(file_entries(read_section(datalist, "training")[0])) - {"label"})
    samples = AnatomySamples(load_subjects(str(datalist), modalities, grid), identifiers)
    pairs = load_pairs(str(datalist), grid)
    torch.manual_seed(seed)
    network = anatomy_network().to(where)
    if initial:
        start_from(network, initial)
    mean = copy.deepcopy(network).eval()
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-4)
    began, told, losses = time.monotonic(), time.monotonic(), list[float]()
    for step, (image, channels) in enumerate(_ahead(samples, seed), 1):
        over = (time.monotonic() - began) / (60 * minutes)
        if over >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, step / WARM) * 0.5 * (1 + math.cos(math.pi * over))
        with torch.autocast(where.type, torch.bfloat16):
            scores = network(image[None].to(where))
        loss = anatomy_loss(scores.float(), channels.to(where))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimiser.step()
        _follow(mean, network, min(KEPT, step / (step + 20)))
        losses.append(float(loss.detach()))
        if time.monotonic() - told > 60 * report:
            told = time.monotonic()
            score = _scores(mean, pairs, channels_of(identifiers), where)
            print(f"step {step}, loss {sum(losses[-200:]) / len(losses[-200:]):.3f}, Dice {score}", flush=True)
            save(half_precision(mean.state_dict()), output)
    save(half_precision(mean.state_dict()), output)
    print(f"step {len(losses)}, Dice {_scores(mean, pairs, channels_of(identifiers), where)}; written: {output}")


def _ahead(samples: AnatomySamples, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Samples without end, drawn in a thread of their own."""
    waiting: Queue[tuple[Tensor, Tensor]] = Queue(AHEAD)

    def draw() -> None:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            while True:
                waiting.put(samples.draw(generator))

    threading.Thread(target=draw, daemon=True).start()
    while True:
        yield waiting.get()


@torch.no_grad()
def _follow(mean: nn.Module, network: nn.Module, kept: float) -> None:
    for own, new in zip(mean.parameters(), network.parameters(), strict=True):
        own.lerp_(new, 1 - kept)


@torch.no_grad()
def _scores(network: nn.Module, pairs: ValidationPairs, channels: Tensor, device: torch.device) -> str:
    """Mean Dice over the structures by kind of pair, both images of each."""
    by_kind: dict[str, list[float]] = {}
    for pair in pairs:
        for side, image in zip(("moving", "fixed"), pair["image"], strict=True):
            with torch.autocast(device.type, torch.bfloat16):
                found = network(normalised(image)[None, None].to(device))[0].argmax(dim=0).cpu()
            truth = channels[pair[f"{side}_label"][0].long()]
            dice = dice_per_structure(truth.numpy(), found.numpy(), range(1, len(STRUCTURES) + 1))
            by_kind.setdefault(f"{pair['kind']} {side}", []).append(mean_ignoring_nan(list(dice.values())))
    return ", ".join(f"{kind} {mean_ignoring_nan(values):.3f}" for kind, values in sorted(by_kind.items()))
