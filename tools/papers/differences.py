"""What differs between a row of a paper and what its command makes here: a word for tables, a sentence behind it."""

import json
from pathlib import Path

#: Word -> sentence.
DIFFERENCES: dict[str, str] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
