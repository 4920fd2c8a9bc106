"""Tables that rename the entries of an authors' checkpoint to ours: data in ``tools/key_maps/<network>.json``.

A table is a JSON object, named after the network class in lower case (``mambamorph.json`` for ``MambaMorph``):

- ``network``: the class in ``common.networks``; ``source``: repository and commit whose names are on the left.
- ``rows``: ``[authors' pattern, our pattern]``. ``*`` stands for one part between dots, ``**`` for one or more parts;
  what the stars of the left match fills the stars of the right, in order. The first row that matches counts.
  ``same_as`` names the table of a network that this one extends; its own ``rows`` come after that table's.
- ``dropped``: ``[authors' pattern, reason]``: entries that hold no weights (sampling grids, index tables, counters).
- ``unused``: authors' patterns of weights that the forward pass never reads. They are converted where our module keeps
  them (``unused_weights``) and otherwise left out, and counted.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from common.errors import InputError

FOLDER = Path(__file__).parent / "key_maps"


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    parts = (
        re.escape(piece) if piece not in ("*", "**") else {"*": "([^.]+)", "**": "(.+)"}[piece]
        for piece in re.split(r"(\*\*|\*)", pattern)
    )
    return re.compile("".join(parts))


def matches(pattern: str, key: str) -> bool:
    """Tell whether a pattern of the tables covers ``key``."""
    return _expression(pattern).fullmatch(key) is not None


@dataclass(frozen=True)
class KeyMap:
    """One table, see the module's description."""

    network: str
    source: str
    rows: tuple[tuple[str, str], ...]
    dropped: tuple[tuple[str, str], ...] = ()
    unused: tuple[str, ...] = ()

    def rename(self, key: str) -> str | None:
        """Return our name for an authors' entry, None where no row covers it."""
        for theirs, ours in self.rows:
            found = _expression(theirs).fullmatch(key)
            if found:
                for group in found.groups():
                    ours = re.sub(r"\*\*|\*", group, ours, count=1)
                return ours
        return None

    def reason_to_drop(self, key: str) -> str | None:
        """Return why an authors' entry holds no weights, None where it does."""
        return next((reason for pattern, reason in self.dropped if matches(pattern, key)), None)

    def is_unused(self, key: str) -> bool:
        """Tell whether an authors' entry is stored but never read by the forward pass."""
        return any(matches(pattern, key) for pattern in self.unused)


def load_key_map(network: str) -> KeyMap:
    """Read the table of a network class.

    Raises:
        InputError: there is none.
    """
    path = FOLDER / f"{network.lower()}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.json")))
        raise InputError(f"no key map for the network {network}: expected {path}, there are {known}")
    table = json.loads(path.read_text())
    if "same_as" in table:
        base = json.loads((FOLDER / f"{table['same_as']}.json").read_text())
        table = base | table | {"rows": base["rows"] + table.get("rows", [])}
    return KeyMap(
        network=table["network"],
        source=table["source"],
        rows=tuple((theirs, ours) for theirs, ours in table["rows"]),
        dropped=tuple((pattern, reason) for pattern, reason in table.get("dropped", [])),
        unused=tuple(table.get("unused", [])),
    )
