"""What the papers print and say, each with the place where it stands: the only source of quoted numbers."""

import functools
import json
from pathlib import Path
from typing import Any

from tools.papers.rows import Row

#: Tables of values: key, title, reference, rows of cells.
TABLES = Path(__file__).resolve().parents[1] / "benchmark" / "quoted_tables.json"
#: What is said in words, and what is counted in the authors' code: paper, says, where.
STATEMENTS = Path(__file__).with_name("quoted_statements.json")
#: Paper -> name of its page in ``docs/reproduce``, where that is another.
PAGE_OF = {"psmamba": "psmamba_net"}


@functools.cache
def tables() -> dict[str, dict[str, Any]]:
    """The quoted tables by key."""
    return {table["key"]: table for table in json.loads(TABLES.read_text(encoding="utf-8"))}


def statements(paper: str) -> list[dict[str, str]]:
    """What one paper and its code say."""
    return [entry for entry in _statements() if entry["paper"] == paper]


@functools.cache
def _statements() -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(STATEMENTS.read_text(encoding="utf-8"))
    return found


def printed(row: Row) -> str:
    """What the paper prints for a row; empty where nothing is known.

    >>> from tools.papers.rows import ROWS
    >>> printed(next(row for row in ROWS if row.method == "ViT-V-Net"))
    '0.726 ± 0.130'
    """
    if row.printed is None:
        return ""
    key, words, column = row.printed
    rows = tables()[key]["rows"][1:]
    (found,) = (cells for cells in rows if words in (cells[0], f"{cells[0]} {cells[1]}"))
    value: str = found[column]
    return value
