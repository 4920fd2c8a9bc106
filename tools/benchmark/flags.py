"""``python -m tools benchmark flags``: how often flags are raised on good pairs, and on pairs that are spoiled."""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.bundle import Bundle
from common.data.datalist import folder_of, read_section, resolve
from common.errors import InputError
from common.geometry import reorient
from common.images import read_volume, save_volume
from common.machine import processor
from common.writing import write_csv
from tools.benchmark.flag_cases import CASES

GOOD = "as it is"
_ROLES = ("fixed", "moving")


def benchmark_flags(
    output: str,
    datalist: str,
    data: str | None = None,
    bundle: str = "voxelmorph",
    spoiled: int = 2,
    spacing: float = 2.0,
    passes: Sequence[int] = (1,),
    refine: str = "auto",
    seed: int = 2026,
) -> None:
    """Register good pairs, and some of them spoiled in known ways, and count the pairs that carry a flag.

    A pair has a serious flag where the field that is kept has one or where a field gave way for one. Brains are taken
    as they are; everything else is as ``register`` has it.

    Args:
        output: folder for table.md and cases.csv.
        datalist: JSON file of pairs of skull-stripped brains that are known to be good, with fixed, moving, name, kind.
        data: folder that the datalist's paths start at; the datalist's own without it.
        bundle: name or folder of a bundle.
        spoiled: of how many pairs, from the first on, the moving image is spoiled.
        spacing: mm of the network's grid.
        passes: grids of the network, coarse to fine.
        refine: as in ``register``.
        seed: of what is drawn.

    Raises:
        InputError: a datalist or a bundle that cannot be used.
    """
    opened, root = Bundle(bundle), Path(data) if data else folder_of(datalist)
    pairs = [
        pair | {role: resolve(root, pair[role]) for role in ("fixed", "moving")} for pair in read_section(datalist)
    ]
    options = {"spacing": spacing, "passes": list(passes), "refine": refine, "brain": "none", "outputs": ["none"]}
    runs = [(pair, GOOD) for pair in pairs] + [(pair, case) for case in CASES for pair in pairs[:spoiled]]
    records = []
    for pair, case in runs:
        with tempfile.TemporaryDirectory(prefix="flags_") as scratch:
            record = {"pair": pair["name"], "kind": pair.get("kind", ""), "case": case}
            records.append(record | _judged(opened, pair, case, Path(scratch), options, seed))
        print("{pair}, {case}: serious: {serious}; other: {other}; {result}".format(**records[-1]), flush=True)
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(records, folder / "cases.csv", 4)
    settings = f"{opened.name}, {spacing:g} mm, passes {list(passes)}, refine {refine}, seed {seed}, {processor()}"
    (folder / "table.md").write_text(_table(records, settings), encoding="utf-8")
    print(f"written to {folder}: table.md, cases.csv")


def _judged(
    bundle: Bundle, pair: Mapping[str, Any], case: str, folder: Path, options: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Register one pair, perhaps spoiled: its flags and what was kept."""
    moving, align = str(pair["moving"]), "auto"
    if case != GOOD:
        moving, align = str(folder / "moving.nii"), CASES[case].align
        volume = read_volume(pair["moving"], "moving")
        voxels, affine = reorient(np.asarray(volume.voxels, dtype=np.float32), volume.affine, "RAS")
        digest = hashlib.sha256(f"{seed} {pair['name']} {case}".encode()).digest()
        save_volume(*CASES[case].spoil(voxels, affine, np.random.default_rng(list(digest))), Path(moving))
    files = {"fixed": str(pair["fixed"]), "moving": moving}
    try:
        metrics = bundle.register(files, folder / "result", align=align, **options)[0].metrics
    except InputError:
        return {"serious": "refused", "other": "", "result": "refused"}
    return flags_of(metrics)


def flags_of(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Names of a run's flags, from its ``metrics.json``: serious ones (of what gave way too), others; what is kept."""
    fallback = metrics.get("fallback", {})
    flags = [flag for one in fallback.get("rejected", []) for flag in one["flags"]] + metrics["quality"]
    serious = dict.fromkeys(flag["flag"] for flag in flags if flag["serious"])
    other = dict.fromkeys(flag["flag"] for flag in flags if not flag["serious"])
    return {"serious": " ".join(serious), "other": " ".join(other), "result": fallback.get("to", "kept")}


def _table(records: Sequence[Mapping[str, Any]], settings: str) -> str:
    lines = [
        "# Flags on good pairs and on spoiled ones\n",
        f"{settings}.\n",
        "| pairs | serious flag | any flag | wanted | which, and on how many |",
        "|---|---|---|---|---|",
    ]
    for case in dict.fromkeys(record["case"] for record in records):
        rows = [record for record in records if record["case"] == case]
        wanted = "none" if case == GOOD else CASES[case].wanted
        names = Counter(name for row in rows for name in f"{row['serious']} {row['other']}".split())
        serious = sum(bool(row["serious"]) for row in rows)
        flagged = sum(bool(row["serious"] or row["other"]) for row in rows)
        which = ", ".join(f"{name} {count}" for name, count in names.most_common())
        lines.append(f"| {case} | {serious} of {len(rows)} | {flagged} of {len(rows)} | {wanted} | {which} |")
    return "\n".join(lines) + "\n"
