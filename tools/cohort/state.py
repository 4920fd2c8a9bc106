"""What is done of a cohort, read from its folder: nothing else is remembered, so that nothing can disagree with it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.registration.outputs import result_folder
from common.writing import save_json

Pair = Mapping[str, str]
#: What began the run, and the folder of a file for each pair that could not be registered.
SETTINGS, FAILED = "cohort.json", "failed"


@dataclass(frozen=True)
class Cohort:
    """A folder of results and the pairs that belong into it.

    Attributes:
        folder: the cohort's output folder; absolute.
        pairs: as ``registration_pairs`` gives them, each with a ``name``.
    """

    folder: Path
    pairs: Sequence[Pair]

    def metrics(self, pair: Pair) -> dict[str, Any] | None:
        """The finished result of a pair; None where there is none of these very images.

        ``metrics.json`` comes last of a pair's files: it says that the others are whole.
        """
        try:
            found = json.loads((result_folder(self.folder, pair) / "metrics.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        same = isinstance(found, dict) and all(found.get(role) == pair[role] for role in ("fixed", "moving"))
        return found if same else None

    def failure(self, pair: Pair) -> str | None:
        """Why a pair could not be registered; None where that is not known."""
        try:
            return str(json.loads(self._failure_file(pair).read_text(encoding="utf-8"))["error"])
        except (OSError, ValueError, KeyError):
            return None

    def fail(self, pair: Pair, error: str) -> None:
        """Note why a pair could not be registered."""
        save_json({"name": pair["name"], "error": error}, self._failure_file(pair))

    def forgive(self, pairs: Iterable[Pair]) -> None:
        """Forget failures: these pairs are tried again."""
        for pair in pairs:
            self._failure_file(pair).unlink(missing_ok=True)

    def settled(self, pair: Pair) -> bool:
        """Whether a pair is finished or has failed in this run."""
        return self.failure(pair) is not None or self.metrics(pair) is not None

    def _failure_file(self, pair: Pair) -> Path:
        return self.folder / FAILED / f"{pair['name']}.json"


def shard(pairs: Sequence[Pair], number: int, count: int) -> list[Pair]:
    """The pairs of one of ``count`` processes: every ``count``-th, whatever is done already.

    >>> [shard([{"name": n} for n in "abcde"], number, 2) for number in (0, 1)]
    [[{'name': 'a'}, {'name': 'c'}, {'name': 'e'}], [{'name': 'b'}, {'name': 'd'}]]
    """
    return list(pairs[number::count])


def claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Note how this cohort is registered, or check that it goes on as it began.

    Raises:
        InputError: the folder holds a cohort of other settings; the text names the first that differs.
    """
    path, wanted = folder / SETTINGS, json.loads(json.dumps(dict(settings), default=str))
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        save_json(wanted, path)
        return
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected the settings of the cohort that began here, got: {error}") from error
    for key in sorted({*before, *wanted}):
        if before.get(key) != wanted.get(key):
            raise InputError(
                f"{folder}: this cohort began with {key} {before.get(key)}, expected the same to go on, got "
                f"{wanted.get(key)}: choose another folder, or --overwrite true to register all of it again"
            )
