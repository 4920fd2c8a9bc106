"""The benchmark's page: one Markdown file with tables, the figures beside it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.evaluation.tables import comparisons, markdown_table, structure_summary, summary_rows
from tools.benchmark.figures import draw_figures
from tools.benchmark.peers import Peer

QUOTED = Path(__file__).with_name("quoted_tables.json")
_COLUMNS = {
    "method": "method",
    "pairs": "pairs",
    "dice_nearest": "Dice, nearest",
    "dice_linear": "Dice, linear",
    "hd95_mm": "HD95 mm",
    "hd95_pooled_mm": "HD95 pooled mm",
    "assd_mm": "ASSD mm",
    "folds_percent": "folds %",
    "sd_log_jacobian": "SDlogJ",
    "sd_log_jacobian_learn2reg": "SDlogJ Learn2Reg",
    "non_diffeomorphic_volume_percent": "NDV %",
    "topology_change": "topology change",
    "landmark_error_mm": "landmarks mm",
    "seconds": "s",
    "cpu_seconds": "CPU s",
    "peak_memory_mb": "peak MB",
}
_DIGITS = {
    "hd95_mm": 2,
    "hd95_pooled_mm": 2,
    "assd_mm": 2,
    "topology_change": 2,
    "landmark_error_mm": 2,
    "seconds": 1,
    "cpu_seconds": 1,
    "peak_memory_mb": 0,
}


def write_report(
    folder: Path,
    records: Sequence[dict[str, Any]],
    structures: Mapping[int, str],
    protocol: Mapping[str, Any],
    missing: Sequence[Peer],
    failures: Sequence[Mapping[str, str]],
    ours: Sequence[str] = (),
) -> None:
    """Write ``table.md`` and the figures into the folder; ``ours`` are compared with the other methods."""
    pictures = draw_figures(folder, records, structures)
    parts = ["# Registration benchmark", _head(protocol), _summary(records)]
    parts += [f"![{text}]({name})" for name, text in pictures.items()]
    parts += [_structures(records, structures), _statistics(records, ours), _methods(protocol, missing, failures)]
    parts += [_definitions(protocol), _quoted()]
    (folder / "table.md").write_text("\n\n".join(part.strip() for part in parts if part) + "\n")


def _head(protocol: Mapping[str, Any]) -> str:
    shape = "x".join(str(n) for n in protocol["grid"])
    spacing = ", ".join(f"{s:g}" for s in protocol["spacing_mm"])
    return (
        f"{protocol['pairs']} pairs of `{protocol['datalist']}` ({protocol['section']}), {shape} voxels "
        f"of {spacing} mm, {len(protocol['structures'])} structures, {protocol['threads']} CPU thread(s) a method. "
        f"Start: {protocol['start']}. "
        "Mean ± SD over pairs. With so few pairs differences below about 0.01 Dice are ties."
    )


def _summary(records: Sequence[dict[str, Any]]) -> str:
    rows = summary_rows(records)
    present = {name: text for name, text in _COLUMNS.items() if any(name in row for row in rows)}
    out = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        of_kind = sorted((r for r in rows if r["kind"] == kind), key=lambda r: -r.get("dice_nearest", 0.0))
        out.append(f"## {kind or 'All pairs'}\n\n" + markdown_table(of_kind, present, _DIGITS))
    return "\n".join(out)


def _structures(records: Sequence[dict[str, Any]], structures: Mapping[int, str]) -> str:
    """Mean Dice by structure, a column a method."""
    if not any(record["structures"] for record in records):
        return ""
    out = ["## Dice by structure (nearest)"]
    rows = structure_summary(records, structures, "dice_nearest")
    for kind in dict.fromkeys(row["kind"] for row in rows):
        table: dict[int, dict[str, Any]] = {}
        for row in (r for r in rows if r["kind"] == kind):
            line = table.setdefault(row["label"], {"structure": row["structure"] or str(row["label"])})
            line[row["method"]] = row["mean"]
        methods = list(dict.fromkeys(row["method"] for row in rows if row["kind"] == kind))
        columns = {"structure": "structure"} | {m: m for m in methods}
        out.append(f"### {kind or 'All pairs'}\n\n" + markdown_table(list(table.values()), columns, {}))
    return "\n\n".join(out)


_TESTS = {
    "methods": "methods",
    "difference": "mean difference",
    "interval": "95 % interval",
    "effect_size": "effect size",
    "t": "t",
    "p": "p",
    "p_bonferroni": "p, Bonferroni",
    "tukey": "p, Tukey HSD",
}


def _statistics(records: Sequence[dict[str, Any]], ours: Sequence[str]) -> str:
    """The papers' statistics on mean Dice, for each kind of pair by itself: ours against the others."""
    head = "## Statistics on mean Dice (nearest)"
    found = comparisons(records, ours=ours)
    parts = [f"### {kind or 'All pairs'}\n\n{_tests(result)}" for kind, result in found.items()]
    compared = f"{', '.join(ours)} against each other method" if ours else "every two methods"
    text = (
        f"Paired t-tests of {compared}, each kind of pair by itself, p corrected for the number of tests in its table. "
        "Effect size: the mean difference over its standard deviation. Both directions of one pair of subjects are not "
        "independent, so these p values and intervals are optimistic."
    )
    return "\n\n".join([head, text, *parts])


def _tests(result: Mapping[str, Any]) -> str:
    if "note" in result:
        return f"{result['note']}."
    anova = result["one_way_anova"]
    tukey = {frozenset((row["first"], row["second"])): row["p"] for row in result["tukey_hsd"]}
    rows = [
        {
            **row,
            "methods": f"{row['first']} – {row['second']}",
            "interval": f"{row['low']:.3f} to {row['high']:.3f}",
            "tukey": tukey[frozenset((row["first"], row["second"]))],
        }
        for row in result["paired_t_tests"]
    ]
    digits = {"p": 4, "p_bonferroni": 4, "tukey": 4, "t": 2, "effect_size": 2}
    return (
        f"{len(result['pairs'])} pairs, {len(rows)} tests; one-way analysis of variance of all methods: "
        f"F({anova['degrees_between']:.0f}, {anova['degrees_within']:.0f}) = {anova['f']:.2f}, "
        f"p = {anova['p']:.3g}.\n\n"
        f"{markdown_table(rows, _TESTS, digits)}"
    )


def _methods(protocol: Mapping[str, Any], missing: Sequence[Peer], failures: Sequence[Mapping[str, str]]) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in {**protocol["versions"], **protocol["tools"]}.items())
    absent = {peer.title for peer in missing}
    lines = [f"- {title}: {text}" for title, text in protocol["methods"].items() if title not in absent]
    lines += [f"- {peer.title}: not installed (`pip install {peer.distribution}`)" for peer in missing]
    lines += [f"- {f['method']} failed on {f['pair']}: {f['error']}" for f in failures]
    return "## Methods\n\n" + "\n".join(lines) + f"\n\nVersions: {versions}."


def _definitions(protocol: Mapping[str, Any]) -> str:
    lines = [f"- `{name}`: {text}" for name, text in protocol["definitions"].items()]
    return f"## Protocol\n\nSurface: {protocol['surface']}. Means: {protocol['mean']}.\n\n" + "\n".join(lines)


def _quoted() -> str:
    """What the papers printed. Other data, other hardware: for orientation only."""
    out = [
        "## Printed in the papers",
        "Quoted, not measured here: other data, other training, other hardware. Not comparable with the tables above.",
    ]
    for table in json.loads(QUOTED.read_text()):
        head, *body = table["rows"]
        lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += ["| " + " | ".join(row) + " |" for row in body]
        out.append(f"**{table['title']}**\n\n" + "\n".join(lines))
    return "\n\n".join(out)
