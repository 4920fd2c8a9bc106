"""The page of a cohort: a picture of each pair, the worst first, to rate one after another."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from common.report.words import number
from common.writing import write_atomically
from tools.cohort.table import GRADES, NO_RESULT
from tools.cohort.worker import THUMBNAILS

INDEX = "index.html"
_HERE = Path(__file__).parent
#: Columns of the table that stand below a picture.
_SHOWN = {
    "mutual_information_after": "MI",
    "dice_after": "Dice",
    "sd_log_jacobian_foreground": "SDlogJ",
    "seconds": "s",
}


def write_index(table: Sequence[Mapping[str, Any]], folder: Path) -> Path:
    """Write ``index.html``: it needs no network, only the thumbnails beside it."""
    text = index_page(table, folder)
    write_atomically(folder / INDEX, lambda path: path.write_text(text, encoding="utf-8"))
    return folder / INDEX


def index_page(table: Sequence[Mapping[str, Any]], folder: Path) -> str:
    """The page as HTML."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_HERE), autoescape=True, trim_blocks=True)
    ordered = sorted(table, key=lambda row: (GRADES.index(row["grade"]), -len(row.get("flags", "")), row["pair"]))
    parts = {name: Markup((_HERE / f"index.{name}").read_text(encoding="utf-8")) for name in ("css", "js")}
    counts = {grade: sum(row["grade"] == grade for row in table) for grade in GRADES}
    return environment.get_template("index.html").render(
        title=f"Cohort {folder.name}", cards=[_card(row, folder) for row in ordered], counts=counts, **parts
    )


def _card(row: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    name = str(row["pair"])
    done, report = row["grade"] not in NO_RESULT, folder / name / "report.html"
    picture = folder / THUMBNAILS / f"{name}.jpg"
    return {
        "name": name,
        "grade": row["grade"],
        "text": row["error"] or row.get("flags", ""),
        "picture": quote(f"{THUMBNAILS}/{name}.jpg") if picture.is_file() else "",
        "link": quote(f"{name}/report.html" if report.is_file() else f"{name}/metrics.json") if done else "",
        "figures": ", ".join(f"{text} {number(row[key])}" for key, text in _SHOWN.items() if row.get(key) is not None),
    }
