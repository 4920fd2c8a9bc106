"""What the benchmark measured on the kit for a paper's row: read from its files, never typed."""

import csv
from pathlib import Path

from tools.papers.quotations import printed
from tools.papers.rows import Row

ROOT = Path(__file__).resolve().parents[2]
BENCHMARK = ROOT / "docs" / "benchmarks" / "registration"
MEASURED = (BENCHMARK / "kit_1mm" / "summary.csv", BENCHMARK / "papers_1mm" / "summary.csv")
#: Bundle or classical method -> what the benchmark calls it. A bundle is there as it is shipped.
TITLES = {
    "mambamorph": "MambaMorph",
    "vmambamorph": "VMambaMorph",
    "psmamba_net": "PSMamba-Net",
    "psmamba_net_diff": "PSMamba-Net (diffeomorphic)",
    "transmorph": "TransMorph",
    "voxelmorph": "VoxelMorph",
    "vit_v_net": "ViT-V-Net",
    "xmorpher": "XMorpher",
    "caml_morph": "CAMLMorph",
    "none": "affine start only",
    "ants_syn_msq": "ANTs SyN, mean squares",
}
#: Data of a row -> the kit's pairs of the same kind. The kit has neither T2 nor an abdomen.
KINDS = {
    **dict.fromkeys(("srreg", "srreg128"), "T1-CT rendered"),
    **dict.fromkeys(("lpba40", "mindboggle", "oasis", "t1"), "T1-T1 rendered"),
}


def score(row: Row) -> float | None:
    """Mean Dice of nearest labels on the kit at 1 mm; ``None`` where the row's network was not trained by anyone here.

    A row that has other weights than the bundle's, because its network or its loss differs, has no value.
    """
    texts = [(ROOT / path).read_text(encoding="utf-8") for path in row.configs[1:]]
    other = any("network_def" in text for text in texts) or "_weight" in row.options
    method = TITLES.get(row.classical or ("" if other else row.bundle), "")
    for path in MEASURED:
        with path.open(newline="", encoding="utf-8") as file:
            for line in csv.DictReader(file):
                if (line["method"], line["kind"]) == (method, KINDS.get(row.data)):
                    return float(line["dice_nearest"])
    return None


def measured(row: Row) -> str:
    """``score`` for a table."""
    value = score(row)
    return "" if value is None else f"{value:.3f}"


def gap(row: Row) -> str:
    """The kit's value less the printed one, in points of Dice; empty where either is missing."""
    value, words = score(row), printed(row)
    if value is None or not words:
        return ""
    there = float(words.split(" ")[0])
    return f"{100 * value - (there if there > 1 else 100 * there):+.1f}"
