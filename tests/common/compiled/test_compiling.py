"""How kernels are declared and loaded: what is said while one compiles, and how often that happens."""

import logging
import sys
from types import ModuleType

import numpy as np
import pytest

from common.compiled import compiling
from common.compiled.compiling import cached_njit, compile_notice, load_kernel

ONE = np.ones(4, np.float32)
pytestmark = pytest.mark.skipif(not compiling.importable(), reason="needs numba")


def add(x, y):
    return x[0] + y


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of one kernel, and an empty folder for what is compiled."""
    from numba import types

    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    module = ModuleType("kernels_of_a_test")
    module.add, module.SIGNATURES = cached_njit()(add), {"add": (types.float32[::1], types.int64)}
    monkeypatch.setitem(sys.modules, module.__name__, module)
    load_kernel.cache_clear()
    yield module
    load_kernel.cache_clear()


def test_a_kernel_is_compiled_aloud_once_and_loaded_silently(module, caplog):
    with caplog.at_level(logging.INFO, logger="common.compiled.compiling"):
        kernel = load_kernel(module.__name__, "add")
        assert kernel(ONE, 3) == 4 and load_kernel(module.__name__, "add") is kernel
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == "compiling the CPU kernel add, once on this machine (about ten seconds)"
    assert said[1].startswith("compiled add in ") and len(said) == 2
    load_kernel.cache_clear()
    module.add = cached_njit()(add)  # as in another process
    assert load_kernel(module.__name__, "add")(ONE, 3) == 4
    assert len(caplog.records) == 2


@pytest.mark.parametrize("array", [np.ones(1), np.ones(1, np.int32), np.ones((1, 1), np.float32), ONE[::2], [1.0]])
def test_a_loaded_kernel_refuses_what_it_was_not_compiled_for(module, array):
    with pytest.raises(TypeError, match="No matching definition"):
        load_kernel(module.__name__, "add")(array, 3)


def test_nothing_is_said_where_nothing_compiles(caplog):
    with compile_notice("nothing"):
        pass
    assert not caplog.records
