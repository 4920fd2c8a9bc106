"""A command for the tests of the command line: one option of every type."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.errors import InputError

SIZES = (1, 2)


def example(
    image: str,
    output: Path = Path("out"),
    voxels: bool = True,
    threads: int = 1,
    spacing: float | None = None,
    passes: Sequence[int] = SIZES,
    methods: str | Sequence[str] = "all",
    table: dict | None = None,
    *,
    resume: bool = False,
) -> None:
    """Print what came,
    in one line.

    Args:
        image: what to read,
            over two lines; with ``code``.
        output: where to write.
        voxels: read them too.
        threads: of the processor.
        spacing: in mm.
        passes: of the network.
        methods: names: with commas between them.
        table: of anything.
        resume: go on.

    Raises:
        InputError: the image is called "absent".
    """
    if image == "absent":
        raise InputError("expected an image, got none: absent")
    print(json.dumps({name: str(value) if isinstance(value, Path) else value for name, value in locals().items()}))


def open_ended(image: str, **overrides: Any) -> None:
    """Print what came, whatever it is."""
    print(json.dumps({"image": image, **overrides}))
