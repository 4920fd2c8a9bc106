"""Records of a benchmark that nobody ran: three methods on four pairs of two kinds, two structures with two sides."""

from typing import Any

import numpy as np

STRUCTURES = {2: "Left-Cortex", 41: "Right-Cortex", 16: "Brain-Stem"}
METHODS = {"none": "affine start only", "mambamorph": "MambaMorph", "ants_syn": "ANTs SyN"}


def make_records(labels: bool = True) -> list[dict[str, Any]]:
    """As ``tools.benchmark.registration`` writes them; seeded."""
    random = np.random.default_rng(0)
    records = []
    for gain, (name, title) in enumerate(METHODS.items()):
        for pair in range(4):
            dice = {label: 0.6 + 0.05 * gain + 0.01 * random.normal() for label in STRUCTURES}
            record = {"method": title, "pair": f"pair{pair}", "kind": "T1 to CT" if pair % 2 else "T1 to T1"}
            record |= {"seconds": 3.0, "cpu_seconds": 5.0 + gain, "peak_memory_mb": 1000.0, "job": {"method": name}}
            record["scores"] = {"folds_percent": 0.1, "sd_log_jacobian": 0.3}
            record["structures"] = {}
            if labels:
                record["scores"]["dice_nearest"] = float(np.mean(list(dice.values())))
                record["structures"] = {label: {"dice_nearest": value} for label, value in dice.items()}
            records.append(record)
    return records
