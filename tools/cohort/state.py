"""What is done of a cohort, read from its folder: nothing else is remembered, so that nothing can disagree with it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.registration.finished import changes, finished
from common.writing import save_json

Pair = Mapping[str, str]
#: The folder of a file for each pair that could not be registered.
FAILED = "failed"


@dataclass(frozen=True)
class Cohort:
    """A folder of results and the pairs that belong into it.

    Attributes:
        folder: the cohort's output folder; absolute.
        pairs: as ``registration_pairs`` gives them, each with a ``name``.
        settings: what makes the results, see ``common.registration.finished``; None takes those of any.
    """

    folder: Path
    pairs: Sequence[Pair]
    settings: Mapping[str, Any] | None = None

    def metrics(self, pair: Pair) -> dict[str, Any] | None:
        """The finished result of a pair; None where there is none of these very files and settings."""
        return finished(pair, self.folder, self.settings)

    def of(self, pairs: Sequence[Pair]) -> "Cohort":
        """The same cohort with other pairs."""
        return replace(self, pairs=pairs)

    def finished_names(self) -> set[str]:
        """Names of the pairs that are finished, each result read once.

        Raises:
            InputError: one was made otherwise than the rest is going to be: a table holds one kind of results. The text
                says what differs of the first such pair.
        """
        names = set()
        for pair in self.pairs:
            found = finished(pair, self.folder)
            if found is None:
                continue
            names.add(pair["name"])
            if self.settings is not None and (words := changes(found, self.settings)):
                raise InputError(
                    f"{self.folder}: {pair['name']} was registered with other options ({'; '.join(words)}), expected "
                    "the same to go on: choose another folder, or --overwrite true to register all of it again"
                )
        return names

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
        noted = {path.name for path in (self.folder / FAILED).glob("*.json")}  # one look for a list of any length
        for pair in pairs:
            if self._failure_file(pair).name in noted:
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
