"""``python -m tools.papers.pages``: the tables of ``docs/reproduce``, of rows, quotations and the benchmark."""

from collections.abc import Sequence
from pathlib import Path

from tools.papers.differences import DIFFERENCES
from tools.papers.quotations import PAGE_OF, printed, statements, tables
from tools.papers.rows import DATALISTS, PAPERS, ROWS, Row
from tools.papers.scores import gap, measured

PAGES = Path(__file__).resolve().parents[2] / "docs" / "reproduce"
BEGIN, END = "<!-- made by python -m tools.papers.pages: {} -->", "<!-- end -->"


def rows_of(paper: str) -> str:
    """The table of a paper's rows, what differs, and their commands."""
    rows = [row for row in ROWS if row.paper == paper]
    head = ("row", "data", "files of the command", "printed", "kit", "kit - printed", "parameters", "starts here")
    lines = [(*head, "what differs")]
    for row in rows:
        count = f"{row.parameters:,}" if row.parameters else ""
        figures = (printed(row), measured(row), gap(row), count)
        lines.append((row.method, row.data, _files(row), *figures, _starts(row), ", ".join(row.differs)))
    words = dict.fromkeys(word for row in rows for word in row.differs)
    lists = [DATALISTS[data] for data in dict.fromkeys(row.data for row in rows)]
    parts = [_table(lines), "What the words of the last column mean:", _meanings(words)]
    parts += ["The lists (DIR is where the data set lies):", _block(lists)]
    return "\n\n".join([*parts, "Training, then test, of each row:", _block(_commands(rows))])


def index() -> str:
    """Paper x row x command x starts here x differences."""
    lines = [("paper", "row", "data", "files of the command", "starts here", "what differs")]
    for row in ROWS:
        page = f"[{PAPERS[row.paper]}]({PAGE_OF.get(row.paper, row.paper)}.md)"
        lines.append((page, row.method, row.data, _files(row), _starts(row), ", ".join(row.differs)))
    words = dict.fromkeys(word for row in ROWS for word in row.differs)
    return "\n\n".join([_table(lines), "What the words of the last column mean:", _meanings(words)])


def quoted(key: str) -> str:
    """A quotation as a table, with where it stands."""
    table = tables()[key]
    return f"{table['reference']}:\n\n{_table(table['rows'])}"


def said(paper: str) -> str:
    """What a paper and its code say in words, with where it stands."""
    return _table([("said", "where"), *((entry["says"], entry["where"]) for entry in statements(paper))])


def made(text: str) -> str:
    """A page with its marked parts made anew."""
    parts = text.split("<!-- made by python -m tools.papers.pages: ")
    out = [parts[0]]
    for part in parts[1:]:
        what, _, rest = part.partition(" -->")
        kind, _, name = what.partition(" ")
        content = index() if kind == "index" else {"rows": rows_of, "quoted": quoted, "said": said}[kind](name)
        out.append(f"{BEGIN.format(what)}\n\n{content}\n\n{END}{rest.partition(END)[2]}")
    return "".join(out)


def _files(row: Row) -> str:
    if row.bundle:
        return " + ".join(f"`{path.removeprefix('bundles/')}`" for path in row.configs) + (
            f" `{row.options}`" if row.options else ""
        )
    return f"`{row.classical}`" if row.classical else ""


def _commands(rows: Sequence[Row]) -> list[str]:
    lines = []
    for row in rows:
        if commands := [command for command in (row.train, row.test) if command]:
            lines += [f"# {row.method}, {row.data}", *commands]
    return lines


def _meanings(words: Sequence[str] | dict[str, None]) -> str:
    return "\n".join(f"- **{word}**: {DIFFERENCES[word]}" for word in words)


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in body])


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
