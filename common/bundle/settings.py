"""What makes a result what it is: the settings that ``metrics.json`` keeps and that resuming compares."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common import __version__
from common.registration.keys import PATH_KEYS
from common.registration.outputs import outputs_of
from common.switches import switch

#: Keys of a configuration that change no result: where files are, what is shown, how the run is organised.
UNRELATED = {
    *PATH_KEYS, "datalist", "section", "resume", "output_dir", "device", "report", "console", "load_pretrain",
    *("imports", "bundle_root", "installed", "code", "weights", "dataset_dir", "dataset", "dataloader"),
    *("load_weights", "settings", "progress", "report_writer", "summary", "handlers", "evaluator", "run"),
    *("overlap", "behind"),
}  # fmt: skip
_DIGITS = 12


def settings_of(config: Mapping[str, Any], weights: str | Path | None = None) -> dict[str, Any]:
    """The settings of a run, plain values by key; what is not named in ``UNRELATED`` counts.

    Args:
        config: what was merged from the files and the command line.
        weights: the file of the network's weights; None for random ones.

    Returns:
        Options as they are, parts of the pipeline by the first digits of their SHA-256, versions, and the weights' own.
    """
    found: dict[str, Any] = {"software": __version__, "version": (config.get("_meta_") or {}).get("version")}
    content = Path(weights).read_bytes() if weights and Path(weights).is_file() else None
    found["weights"] = None if content is None else _digest(content)
    for key, value in config.items():
        if key not in UNRELATED and not key.startswith("_"):
            found[key] = _plain(list(outputs_of(value)) if key == "outputs" else value)
    return found


def _plain(value: Any) -> Any:
    """The value as JSON has it, a switch as a boolean; what is more than a value by its digest."""
    text = json.dumps(value, default=str, sort_keys=True)
    if isinstance(value, Mapping) or (isinstance(value, str) and value[:1] in ("$", "@", "%")):
        return _digest(text.encode())
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return switch(value)
    return json.loads(text)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]
