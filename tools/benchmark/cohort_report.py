"""The tables of ``benchmark cohort``, and a hundred thousand pairs on paper from them."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.evaluation.tables import markdown_table
from common.writing import write_atomically

BEGIN, END = "<!-- made by python -m tools benchmark cohort -->", "<!-- end -->"
#: What is put on paper: pairs, cores of a node, hours of a night.
COUNT, CORES, NIGHT = 100_000, 64, 12
_OVERLAP = {True: "on", False: "off", None: "-"}
_RATES = {
    "method": "method",
    "processes": "processes",
    "overlap": "overlap",
    "pairs_an_hour": "pairs an hour",
    "cpu_seconds_a_pair": "CPU s a pair",
    "largest_mb": "largest process MB",
    "together_mb": "all processes MB",
    "others_percent": "cores taken by other programs %",
}
_PAPER = {
    "method": "method",
    "how": "measured with",
    "core_hours": "core hours",
    "nights": f"nodes of {CORES} cores for one night of {NIGHT} hours",
    "memory_gb": "memory of such a node, GB",
    "dollars": "US dollars",
}
_DIGITS = dict.fromkeys((*_RATES, *_PAPER), 0) | {"cpu_seconds_a_pair": 1, "nights": 1}


def write_cohort_report(record: Mapping[str, Any], table: Path, page: Path | None) -> None:
    """Write the tables, and put them between the marks of a page.

    Raises:
        InputError: the page has no marks.
    """
    text = cohort_tables(record)
    table.write_text(f"# A list of pairs\n\n{text}\n", encoding="utf-8")
    if page is not None:
        whole = check_page(page)
        before, _, rest = whole.partition(BEGIN)
        made = f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}"
        write_atomically(page, lambda path: path.write_text(made, encoding="utf-8"))


def check_page(page: Path) -> str:
    """The text of a page that has the marks.

    Raises:
        InputError: it cannot be read, or has none.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"page {page}: expected a Markdown file, got: {error.strerror}") from error
    if END not in text.partition(BEGIN)[2]:
        raise InputError(f"page {page}: expected the lines {BEGIN} and {END}, got a page without")
    return text


def cohort_tables(record: Mapping[str, Any]) -> str:
    """All tables of a record, each with how it came about."""
    parts = [_protocol(record), _rates(record), _missing(record), _many(record), _files(record), _fields(record)]
    return "\n\n".join(part.strip() for part in [*parts, _paper(record)] if part)


def _protocol(record: Mapping[str, Any]) -> str:
    shape, spacing = "x".join(map(str, record["grid"])), ", ".join(f"{s:g}" for s in record["spacing_mm"])
    options = " ".join(f"`--{name} {value}`" for name, value in record["options"].items()) or "its own options"
    peers = "; ".join(f"{title}: {text}" for title, text in record["methods"].items())
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return (
        f"{record['pairs']} pairs ({record['different_pairs']} different ones of `{record['datalist']}`), fixed images "
        f"of {shape} voxels of {spacing} mm, {record['processor']}, {record['cores']} cores that the processes share, "
        f"no GPU, one run each. `{record['bundle']}` is `python -m tools cohort` with {options}: reading, brain "
        "extraction where there is a skull, alignment, network, refinement, measures, files and thumbnails. Overlap: "
        "the next pair is read and aligned, and the last one written, meanwhile (`--overlap true`). "
        + (f"{peers}; of these the deformable stage alone, no alignment, no measures, no pictures. " if peers else "")
        + "Everything from the start of the command to its end counts. Memory is resident; "
        f"that of all processes counts shared pages for each of them. {versions}.\n\n    {record['command']}"
    )


def _rates(record: Mapping[str, Any]) -> str:
    rows = [{**row, "overlap": _OVERLAP[row["overlap"]]} for row in record["rows"] if "not_run" not in row]
    return markdown_table(rows, _RATES, _DIGITS) if rows else ""


def _missing(record: Mapping[str, Any]) -> str:
    rows = [row for row in record["rows"] if "not_run" in row]
    lines = [
        f"- {row['method']}, {row['processes']} process(es)"
        + (f", overlap {_OVERLAP[row['overlap']]}" if row["overlap"] is not None else "")
        + f": not measured, {row['not_run']}"
        for row in rows
    ]
    return "\n".join(lines)


def _many(record: Mapping[str, Any]) -> str:
    many = record["many"]
    if many is None:
        return "The long list was left out (`--many 0`)."
    options = " ".join(f"--{name} {value}" for name, value in many["options"].items())
    head = f"**A list of {many['pairs']}**, the same pairs under ever new names, one process, cheap: `{options}`"
    if "not_run" in many:
        return f"{head}: not measured, {many['not_run']}."
    rows = [
        {"which": which, "seconds": many[f"{key}_half_seconds_a_pair"], "peak": many[f"{key}_half_peak_mb"]}
        for key, which in (("first", "first half"), ("second", "second half"))
    ]
    table = markdown_table(
        rows, {"which": "pairs", "seconds": "s a pair", "peak": "largest memory so far MB"}, {"peak": 0}
    )
    return (
        f"{head}. The first pair, which holds the start, is left out. The whole command took {many['seconds']:.0f} s, "
        f"with {_known(many['others_percent']):.0f} % of the cores taken by other programs; "
        f"the same again, with nothing left to do, {many['again_seconds']:.1f} s.\n\n{table}"
    )


def _files(record: Mapping[str, Any]) -> str:
    storage = record["storage"]
    if not storage:
        return ""
    voxels, files = storage["voxels"], dict(storage["files"])
    rows = [_file_row(name, size, voxels) for name, size in files.items()]
    rows.append(_file_row("all", sum(files.values()), voxels))
    columns = {"name": "file", "megabytes": "MB a pair", "rate": "bytes a voxel", "terabytes": f"TB for {COUNT:,}"}
    digits = {"megabytes": 2, "rate": 2, "terabytes": 3}
    head = f"**Disk**, mean of {storage['pairs']} pairs, fixed images of {voxels:,} voxels:"
    return f"{head}\n\n{markdown_table(rows, columns, digits)}"


def _file_row(name: str, size: float, voxels: int) -> dict[str, Any]:
    return {"name": name, "megabytes": size / 1e6, "rate": size / voxels, "terabytes": size * COUNT / 1e12}


def _fields(record: Mapping[str, Any]) -> str:
    storage = record["storage"]
    if not storage:
        return ""
    rows = [
        {
            "spacing": f"{field['factor'] * storage['spacing_mm']:g} mm",
            "type": field["type"],
            "megabytes": field["bytes"] / 1e6,
            "terabytes": field["bytes"] * COUNT / 1e12,
            "mean": field["mean_error_mm"],
            "largest": field["largest_error_mm"],
        }
        for field in storage["fields"]
    ]
    columns = {"spacing": "spacing", "type": "type", "megabytes": "MB", "terabytes": f"TB for {COUNT:,}"}
    columns |= {"mean": "mean error mm", "largest": "largest error mm"}
    head = (
        "**The field alone** by spacing and type: that of the first pair, read linearly on a coarser grid, packed by "
        "gzip, and what it is off when it is read back on the image's grid:"
    )
    return f"{head}\n\n{markdown_table(rows, columns, {'megabytes': 2})}"


def _paper(record: Mapping[str, Any]) -> str:
    """A hundred thousand pairs from the row of each method with the least CPU seconds; nothing where none was run."""
    rows = [_paper_row(record, best) for best in cheapest(record["rows"])]
    if not rows:
        return ""
    kept = sum(record["storage"]["files"].values()) * COUNT / 1e12 if record["storage"] else 0.0
    disk = (
        f" Disk for all files is another {kept:.2f} TB, {kept * record['terabyte_month']:.0f} US dollars a month at "
        f"{record['terabyte_month']:g} a terabyte (assumed)."
        if kept
        else ""
    )
    return (
        f"**{COUNT:,} pairs of this kind, on paper**: CPU seconds a pair of each method's cheapest row, as if no core "
        f"ever waited (for disk, memory or a process that has no pair left), on nodes of {CORES} cores, where "
        f"{record['cores']} were measured; {record['core_hour']:g} US dollars a core hour (assumed):\n\n"
        f"{markdown_table(rows, _PAPER, _DIGITS).strip()}\n\n{disk.strip()}"
    )


def cheapest(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The row of each method with the least CPU seconds a pair; of methods that were run."""
    best: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if "not_run" in row:
            continue
        known = best.setdefault(row["method"], row)
        if row["cpu_seconds_a_pair"] < known["cpu_seconds_a_pair"]:
            best[row["method"]] = row
    return list(best.values())


def _paper_row(record: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    hours = COUNT * row["cpu_seconds_a_pair"] / 3600
    memory = _known(row["together_mb"]) * CORES / record["cores"] / 1000
    overlap = "" if row["overlap"] is None else f", overlap {_OVERLAP[row['overlap']]}"
    return {
        "method": row["method"],
        "how": f"{row['processes']} process(es){overlap}",
        "core_hours": hours,
        "nights": hours / CORES / NIGHT,
        "memory_gb": memory,
        "dollars": hours * record["core_hour"],
    }


def _known(figure: float | None) -> float:
    """JSON has no NaN."""
    return math.nan if figure is None else figure
