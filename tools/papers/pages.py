"""``python -m tools.papers.pages``: the tables of ``docs/reproduce``, of rows, quotations and the benchmark."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from tools.papers.rows import DATALISTS, PAPERS, ROWS, Row

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "reproduce"
QUOTED = ROOT / "tools" / "benchmark" / "quoted_tables.json"
MEASURED = ROOT / "docs" / "benchmarks" / "registration" / "kit_1mm" / "summary.csv"
BEGIN, END = "<!-- made by python -m tools.papers.pages: {} -->", "<!-- end -->"
#: Page of a paper, and the method of the benchmark that is a bundle as it is shipped.
PAGE_OF = {"psmamba": "psmamba_net"}
SHIPPED = {
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
}


def quotations() -> dict[str, dict]:
    """The table of quotations by key."""
    return {table["key"]: table for table in json.loads(QUOTED.read_text(encoding="utf-8"))}


def printed(row: Row) -> str:
    """What the paper prints for a row; empty where nothing is known.

    >>> printed(next(row for row in ROWS if row.method == "ViT-V-Net"))
    '0.726 ± 0.130'
    """
    if row.printed is None:
        return ""
    key, words, column = row.printed
    rows = quotations()[key]["rows"][1:]
    (found,) = (cells for cells in rows if words in (cells[0], f"{cells[0]} {cells[1]}"))
    return found[column]


def measured(row: Row) -> str:
    """Dice of the bundle as shipped on the kit's pairs, T1 to T1 and T1 to CT; empty for another network."""
    other = any("network_def" in (ROOT / path).read_text(encoding="utf-8") for path in row.configs[1:])
    method = SHIPPED.get(row.classical or ("" if other else row.bundle), "")
    with MEASURED.open(newline="", encoding="utf-8") as file:
        dice = [float(line["dice_nearest"]) for line in csv.DictReader(file) if line["method"] == method]
    return " / ".join(f"{value:.3f}" for value in dice)


def rows_of(paper: str) -> str:
    """The table of a paper's rows, and their commands."""
    rows = [row for row in ROWS if row.paper == paper]
    lines = [
        "| row | data | printed | kit | parameters | starts here | what differs |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        count = f"{row.parameters:,}" if row.parameters else ""
        cells = (row.method, row.data, printed(row), measured(row), count, _starts(row), row.differs)
        lines.append("| " + " | ".join(cells) + " |")
    lists = [DATALISTS[data] for data in dict.fromkeys(row.data for row in rows)]
    parts = ["\n".join(lines), "The lists (DIR is where the data set lies):", _block(lists)]
    return "\n\n".join([*parts, "Training, then test, of each row:", _block(_commands(rows))])


def index() -> str:
    """Paper x row x command x starts here x differences."""
    lines = ["| paper | row | data | files | starts here | what differs |", "|---|---|---|---|---|---|"]
    for row in ROWS:
        files = " + ".join(f"`{path}`" for path in row.configs) if row.bundle else f"`{row.classical}`"
        page = f"[{PAPERS[row.paper]}]({PAGE_OF.get(row.paper, row.paper)}.md)"
        cells = (page, row.method, row.data, files if files != "``" else "", _starts(row), row.differs)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def quoted(key: str) -> str:
    """A quotation as a table, with where it stands."""
    table = quotations()[key]
    head, *body = table["rows"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in body]
    return f"{table['reference']}:\n\n" + "\n".join(lines)


def made(text: str) -> str:
    """A page with its marked parts made anew."""
    parts = text.split("<!-- made by python -m tools.papers.pages: ")
    out = [parts[0]]
    for part in parts[1:]:
        what, _, rest = part.partition(" -->")
        kind, _, name = what.partition(" ")
        content = index() if kind == "index" else {"rows": rows_of, "quoted": quoted}[kind](name)
        out.append(f"{BEGIN.format(what)}\n\n{content}\n\n{END}{rest.partition(END)[2]}")
    return "".join(out)


def _commands(rows: Sequence[Row]) -> list[str]:
    lines = []
    for row in rows:
        if commands := [command for command in (row.train, row.test) if command]:
            lines += [f"# {row.method}, {row.data}", *commands]
    return lines


def _block(lines: Sequence[str]) -> str:
    return "```bash\n" + "\n".join(lines) + "\n```"


def _starts(row: Row) -> str:
    return "yes" if row.bundle or row.classical else "no"


def main() -> None:
    """Write the pages."""
    for page in sorted(PAGES.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        page.write_text(made(text), encoding="utf-8")


if __name__ == "__main__":
    main()
