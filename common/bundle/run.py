"""``Bundle``: how a program opens a bundle and registers with it; every door but MONAI's command goes through it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.bundle import ConfigParser

import common
from common.bundle.folder import read_json
from common.errors import InputError, find_input_error
from common.places import find_bundle
from common.registration.keys import PATH_KEYS
from common.switches import expanded


@dataclass(frozen=True)
class Registered:
    """What one registration left behind.

    Attributes:
        files: paths of the files that were written, ``metrics.json`` last.
        metrics: content of ``metrics.json``.
    """

    files: list[Path]
    metrics: dict[str, Any]

    @property
    def folder(self) -> Path:
        """Where the files lie; for a pair of a list its last part is the pair's name."""
        return self.files[-1].parent


class Bundle:
    """A bundle in its folder: ``configs/inference.json`` says what happens, and nothing else does.

    Args:
        bundle: a folder, or the name of a bundle of the checkout or of the user's folder (``find_bundle``).

    Raises:
        InputError: there is no such bundle.
    """

    def __init__(self, bundle: str | Path) -> None:
        self.root = find_bundle(bundle)
        self.metadata = read_json(self.root / "configs" / "metadata.json")

    @property
    def name(self) -> str:
        """The bundle's own name, that of its paper."""
        return str(self.metadata["name"])

    @property
    def version(self) -> str:
        """The bundle's version."""
        return str(self.metadata["version"])

    def parser(self, **overrides: Any) -> ConfigParser:
        """Return the inference configuration of this very folder, with keys replaced.

        Args:
            overrides: values by key; ``#`` in a key goes one level down, as in ``{"network_def#rbsc": False}``.
        """
        parser = ConfigParser()
        parser.read_config(str(self.root / "configs" / "inference.json"))
        parser.read_meta(self.metadata)
        # The project's code, which is running, not the copy that the bundle may carry: two of it would be mixed.
        code = str(Path(common.__file__).resolve().parents[1])
        parser.update({"bundle_root": str(self.root), "code": code, "console": False})
        parser.update(overrides)
        return parser

    def register(
        self, pairs: Mapping[str, Any] | Sequence[Mapping[str, Any]], output_dir: str | Path, **overrides: Any
    ) -> list[Registered]:
        """Register pairs as ``inference.json`` says and write the results.

        Args:
            pairs: one pair, whose files lie in ``output_dir`` itself, or a list of pairs, a subfolder each. A pair is a
                dictionary of paths: ``fixed``, ``moving``, perhaps ``fixed_label``, ``moving_label``, ``fixed_mask``,
                ``moving_mask``, ``fixed_exclude``, ``moving_exclude``, ``fixed_points``, ``moving_points``,
                ``true_field`` and, in a list, ``name``.
            output_dir: where to.
            overrides: keys of ``inference.json``, such as ``passes=[2]``, ``device="cpu"``, ``amp=True``,
                ``console=True`` (progress and a summary are printed).

        Returns:
            A result for each pair, in order.

        Raises:
            InputError: something that is given cannot be used; the text says what was expected and what came.
        """
        if not pairs:
            raise InputError("nothing to register: the list of pairs is empty")
        results: list[Registered] = []
        with _plain_errors():
            parser, evaluator = self._ready(pairs, output_dir, overrides)
            evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: results.extend(_results(engine)))
            parser.get_parsed_content(f"run::{len(parser['run']) - 1}")
        return results

    def check(
        self, pairs: Mapping[str, Any] | Sequence[Mapping[str, Any]], output_dir: str | Path, **overrides: Any
    ) -> dict[str, Any]:
        """Raise what ``register`` would raise before its first pair: options, folder, headers, weights.

        Returns:
            The settings that the results would carry (``settings_of``); empty for a bundle that knows none.

        Raises:
            InputError: see ``register``.
        """
        with _plain_errors():
            parser, _ = self._ready(pairs, output_dir, overrides)
            settings: dict[str, Any] = parser.get_parsed_content("settings") if "settings" in parser.config else {}
        return settings

    def prepare(self, pair: Mapping[str, Any], output_dir: str | Path, **overrides: Any) -> dict[str, Any]:
        """Return one pair as the network would get it, with all that was found out before; nothing is written.

        Args:
            pair: see ``register``.
            output_dir: where results would go; checked as before a run.
            overrides: keys of ``inference.json``.

        Raises:
            InputError: see ``register``.
        """
        with _plain_errors():
            parser, _ = self._ready(pair, output_dir, overrides)
            prepared: dict[str, Any] = parser.get_parsed_content("dataset")[0]
        return prepared

    def _ready(
        self, pairs: Mapping[str, Any] | Sequence[Mapping[str, Any]], output_dir: str | Path, overrides: dict[str, Any]
    ) -> tuple[ConfigParser, Engine]:
        """All of a run but its last step."""
        given = _whole(pairs) if isinstance(pairs, Mapping) else {"datalist": [_whole(pair) for pair in pairs]}
        parser = self.parser(**given, output_dir=_absolute(output_dir), **overrides)
        parser.parse()
        for number in range(len(parser["run"]) - 1):
            parser.get_parsed_content(f"run::{number}")
        return parser, parser.get_parsed_content("evaluator")


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Raise the user's mistake itself, not what MONAI wraps it in."""
    try:
        yield
    except Exception as error:
        cause = find_input_error(error)
        if cause is None or cause is error:
            raise
        raise InputError(str(cause)) from error


def _whole(pair: Mapping[str, Any]) -> dict[str, Any]:
    """The pair with whole paths: a configuration takes a leading $, % or @ for something else than a name."""
    return {k: _absolute(v) if k in PATH_KEYS and v and isinstance(v, str | Path) else v for k, v in pair.items()}


def _absolute(path: str | Path) -> str:
    return str(expanded(path).absolute())


def _results(engine: Engine) -> list[Registered]:
    outputs: Any = engine.state.output
    return [Registered([Path(file) for file in output["output_files"]], output["metrics"]) for output in outputs]
