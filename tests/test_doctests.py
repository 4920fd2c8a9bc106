"""Every example in a docstring is run."""

import doctest
import importlib

import pytest

from tests.house import modules

WITH_EXAMPLES = [name for package in ("common", "tools") for name, m in modules(package).items() if ">>> " in m.text]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_are_true(name: str):
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.attempted > 0 and outcome.failed == 0
