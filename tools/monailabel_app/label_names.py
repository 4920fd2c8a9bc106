"""Names of label values: FreeSurfer's, which SynthSeg uses too, and tables in the usual files."""

import csv
import io
import re
from pathlib import Path

from common.bundle.folder import read_json
from common.errors import InputError

#: Subcortical structures, ventricles, and the cortical regions of Desikan and Killiany.
_FREESURFER = Path(__file__).with_name("freesurfer.json")
_QUOTED = re.compile(r'^\s*(\d+)\s.*"([^"]+)"\s*$')  # ITK-SNAP
_PLAIN = re.compile(r"^\s*(\d+)\s+(\S+)")  # FreeSurfer


def freesurfer_names() -> dict[int, str]:
    """FreeSurfer's names by value.

    >>> names = freesurfer_names()
    >>> names[10], names[49], names[53], names[1035]
    ('Left-Thalamus', 'Right-Thalamus', 'Right-Hippocampus', 'ctx-lh-insula')
    """
    return _of_json(_FREESURFER)


def read_names(table: str | Path) -> dict[int, str]:
    """Read names of label values.

    Args:
        table: ``freesurfer``, or a file: JSON of value and name, BIDS' ``dseg.tsv`` (``index``, ``name``), the same as
            CSV, a FreeSurfer colour table, an ITK-SNAP label file.

    Raises:
        InputError: no such file, or nothing in it that looks like values and names.
    """
    if str(table) == "freesurfer":
        return freesurfer_names()
    path = Path(table).expanduser()
    if not path.is_file():
        raise InputError(f"names table {table}: expected freesurfer or a file, got no such file")
    names = _of_json(path) if path.suffix == ".json" else _of_text(path)
    if not names:
        raise InputError(f"names table {table}: expected lines of a value and a name, got none")
    return names


def _of_json(path: Path) -> dict[int, str]:
    try:
        return {int(value): str(name) for value, name in read_json(path).items()}
    except ValueError as error:
        raise InputError(f"names table {path}: expected whole numbers as keys, got: {error}") from error


def _of_text(path: Path) -> dict[int, str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"names table {path}: expected text, got: {error}") from error
    first = text.partition("\n")[0].lower()
    if "index" in first and "name" in first:
        rows = csv.DictReader(io.StringIO(text), delimiter="\t" if "\t" in first else ",")
        rows.fieldnames = [str(name).strip().lower() for name in rows.fieldnames or []]
        return {int(row["index"]): row["name"].strip() for row in rows if str(row["index"]).strip().isdigit()}
    found = (_QUOTED.match(line) or _PLAIN.match(line) for line in text.splitlines())
    names = {int(match[1]): match[2] for match in found if match}
    return {value: name for value, name in names.items() if value != 0}
