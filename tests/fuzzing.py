"""How many made-up inputs a reader gets: a hundred in the gate, ten thousand by ``make fuzz``."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

INPUTS = int(os.environ.get("FUZZ_INPUTS", "100"))
_CASES = settings(max_examples=INPUTS, deadline=None, suppress_health_check=list(HealthCheck), database=None)

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
LEAVES |= st.sampled_from(["$", "$@", "@a", "%b", "16*n", "**", "$(", "1.2.3", "$'" + "a" * 50])
ANY_JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))


def fuzzed(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test of hypothesis that feeds a reader."""
    return pytest.mark.fuzz(_CASES(test))


def places(content: Any, path: tuple = ()) -> Iterator[tuple]:
    """Paths of all values of some JSON, the whole included."""
    yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def put(content: Any, path: tuple, value: Any) -> Any:
    """A copy of some JSON with another value at a path."""
    if not path:
        return value
    copied = dict(content) if isinstance(content, dict) else list(content)
    copied[path[0]] = put(content[path[0]], path[1:], value)
    return copied


def changed(content: Any) -> st.SearchStrategy[Any]:
    """Some JSON with anything anywhere in it."""
    return st.builds(put, st.just(content), st.sampled_from(list(places(content))), ANY_JSON)


def edits(last: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    """Bytes to be replaced: (position, value)."""
    return st.lists(st.tuples(st.integers(0, last), st.integers(0, 255)), min_size=1, max_size=8)


def edited(content: bytes, replaced: list[tuple[int, int]]) -> bytes:
    """A copy with other bytes at the positions of ``edits``."""
    data = bytearray(content)
    for position, value in replaced:
        data[position % len(data)] = value
    return bytes(data)
