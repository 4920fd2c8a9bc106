"""``python -m tools papers``: the rows of the papers' tables and their commands."""

from common.errors import InputError, nearest
from tools.papers.differences import DIFFERENCES
from tools.papers.quotations import printed
from tools.papers.rows import DATALISTS, PAPERS, ROWS


def papers(paper: str = "") -> None:
    """List the rows of a paper's tables: what was printed, what differs, and the commands that make and score each.

    Args:
        paper: mambamorph, vmambamorph, psmamba, vit_v_net or caml_morph; all of them without.
    """
    if paper and paper not in PAPERS:
        raise InputError(f"expected a paper among {', '.join(PAPERS)}, got {paper!r}{nearest(paper, PAPERS, '')}")
    rows = [row for row in ROWS if paper in ("", row.paper)]
    for data in dict.fromkeys(row.data for row in rows):
        print(f"# the list of {data}\n{DATALISTS[data]}")
    for row in rows:
        said = f", printed {printed(row)}" if printed(row) else ""
        print(f"\n# {PAPERS[row.paper]}: {row.method}, {row.data}{said}\n# differs: {', '.join(row.differs)}")
        for command in filter(None, (row.train, row.test)):
            print(command)
    print("\n# what differs:")
    for word in dict.fromkeys(word for row in rows for word in row.differs):
        print(f"# {word}: {DIFFERENCES[word]}")
