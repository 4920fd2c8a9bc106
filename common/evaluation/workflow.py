"""What a bundle's ``evaluate.json`` calls: score every registered pair, and report over all pairs and processes."""

import logging
import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.transforms import Transform

from common.evaluation.lists import read_landmarks, read_structures
from common.evaluation.protocol import protocol
from common.evaluation.scores import Record, evaluate_pair
from common.evaluation.tables import summary_rows, write_evaluation
from common.machine import peak_memory_mb
from common.registration.clock import registration_seconds
from common.registration.pairs import listed_pairs

logger = logging.getLogger(__name__)


class ScorePaird(Transform):
    """Add ``record``: every score of the pair from ``ddf``, the labels and the landmarks that it has.

    Comes after ``ToFixedGridd``: ``ddf`` is on the fixed image's own grid, ``moving_label`` still on its own.

    Args:
        method: name of the network in the tables.
        datalist: whose ``labels`` name the structures to score; all labels that occur are scored without any.
    """

    def __init__(self, method: str, datalist: str | None = None) -> None:
        self.method = method
        self.structures = read_structures(datalist) if datalist else {}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with ``record``; the images and fields that the report does not need are left out."""
        pair = dict(data)
        labels = [_labels(pair.get(key)) for key in ("fixed_label", "moving_label")]
        clock = {name: float(seconds) for name, seconds in pair.get("clock", {}).items()}
        record = {
            "method": self.method,
            "pair": str(pair.get("name", "")),
            "kind": str(pair.get("kind", "")),
            "seconds": registration_seconds(clock),
            "network_seconds": clock.get("network", math.nan),
            "peak_memory_mb": peak_memory_mb(),
            **evaluate_pair(
                pair["ddf"].as_tensor().numpy(),
                pair["fixed"].affine.numpy(),
                labels[0],
                labels[1],
                pair["moving"].affine.numpy(),
                list(self.structures) or None,
                read_landmarks(pair),
            ),
        }
        return {"record": record}


def _labels(volume: MetaTensor | None) -> Any:
    return None if not isinstance(volume, MetaTensor) else volume.as_tensor()[0].cpu().numpy()


class EvaluationReport:
    """MONAI handler: collect the records of all pairs, from all processes, and write the tables at the end.

    The evaluator's ``state.metrics`` gets the means, for other handlers to print. In a distributed run every process
    holds them; the first one writes. A pair that the sampler gave to two processes counts once.

    Args:
        output_dir: folder for ``evaluation.json``, ``pairs.csv``, ``structures.csv``, ``summary.csv``, ``records/``.
        datalist: named in the protocol; its ``labels`` name the structures.
        section: the datalist's section, for the protocol.
        further: more entries of the protocol, such as the spacing of the network's grid.
    """

    def __init__(self, output_dir: str, datalist: str, section: str, further: Mapping[str, Any] | None = None) -> None:
        self.output_dir, self.datalist, self.section = Path(output_dir), datalist, section
        self.further = dict(further or {})
        self.records: list[Record] = []

    def attach(self, engine: Engine) -> None:
        """Register on the evaluator."""
        engine.add_event_handler(Events.STARTED, lambda _: self.records.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.finish)

    def collect(self, engine: Engine) -> None:
        """Take the records of one batch."""
        outputs: Any = engine.state.output
        self.records += [output["record"] for output in outputs]

    def finish(self, engine: Engine) -> None:
        """Join the processes' records; set the metrics; write, in the first process."""
        records = self.all_records()
        (summary,) = summary_rows([{**record, "method": "mean"} for record in records], by_kind=False)
        for name, value in summary.items():
            if isinstance(value, float) and not name.endswith("_sd"):
                engine.state.metrics[name] = value
        if _rank() == 0:
            structures = read_structures(self.datalist)
            facts = protocol(
                structures,
                datalist=Path(self.datalist).name,
                section=self.section,
                pairs=len(records),
                threads=torch.get_num_threads(),
                seconds_are="of pairs one after another in one process; the first one includes compilation",
                **self.further,
            )
            write_evaluation(self.output_dir, records, structures, facts)
            dice = summary.get("dice_nearest", math.nan)
            logger.info("%d pairs, mean Dice %.4f, written to %s", len(records), dice, self.output_dir)

    def all_records(self) -> list[Record]:
        """Records of all processes, each pair once, in the order of the datalist."""
        parts: list[Any] = [self.records]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            parts = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(parts, self.records)
        by_pair = {record["pair"]: record for part in parts for record in part}
        order = [pair["name"] for pair in listed_pairs(self.datalist, self.section)]
        return [by_pair[name] for name in order if name in by_pair]


def _rank() -> int:
    ready = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_rank() if ready else 0
