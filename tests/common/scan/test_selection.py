"""Choosing a backend: preference, SCAN_BACKEND, one announcement, errors that say why."""

import logging

import pytest
import torch

from common.scan import BackendUnavailableError, available_backends, select_backend, selection, selective_scan
from common.scan.reference import Reference
from common.scan.seam import Backend

from .cases import random_case

U, A, B = torch.zeros(1, 4, 5), -torch.ones(4, 3), torch.zeros(1, 1, 3, 5)


class Pretended(Reference):
    def __init__(self, available=True, reason="found"):
        self.found = (available, reason)

    def availability(self, device):
        return self.found


@pytest.fixture
def backends(monkeypatch):
    """Three pretended backends on the CPU; the test may replace any of them."""
    known = {name: Pretended() for name in ("fast", "plain", "oracle")}
    monkeypatch.setattr(selection, "BACKENDS", dict.fromkeys(known, "nowhere"))
    monkeypatch.setattr(selection, "PREFERENCE", {"cpu": ("fast", "plain")})
    monkeypatch.setattr(selection, "load_backend", lambda name: known[name])
    monkeypatch.setattr(selection, "_announced", set())
    monkeypatch.delenv("SCAN_BACKEND", raising=False)
    selection.availability.cache_clear()
    yield known
    selection.availability.cache_clear()


def test_prefers_the_first_that_is_available(backends):
    assert select_backend(U, A, B) == "fast"
    backends["fast"] = Pretended(False, "no compiler")
    selection.availability.cache_clear()
    assert select_backend(U, A, B) == "plain"


def test_passes_over_a_backend_that_declines_the_dtype(backends):
    backends["fast"].supports = lambda dtype, states, groups: dtype != torch.float64
    assert select_backend(U.double(), A, B) == "plain"
    assert select_backend(U, A, B) == "fast"
    assert select_backend(U.double(), A, B, "fast") == "fast"  # asked for by name, it is taken at its word


@pytest.mark.parametrize(
    ("variable", "expected"),
    [("oracle", "oracle"), ("-fast", "plain"), (" - fast , oracle", "oracle"), ("", "fast"), ("auto", "fast")],
)
def test_the_environment_forces_and_forbids(backends, monkeypatch, variable, expected):
    monkeypatch.setenv("SCAN_BACKEND", variable)
    assert select_backend(U, A, B) == expected


def test_an_argument_wins_over_the_environment(backends, monkeypatch):
    monkeypatch.setenv("SCAN_BACKEND", "-plain,oracle")
    assert select_backend(U, A, B, "plain") == "plain"


@pytest.mark.parametrize("variable", ["quick", "-quick", "fast,plain"])
def test_a_wrong_variable_is_an_error(backends, monkeypatch, variable):
    monkeypatch.setenv("SCAN_BACKEND", variable)
    with pytest.raises(ValueError, match="expected one name to force and any number of names with a leading minus"):
        select_backend(U, A, B)


def test_a_forced_backend_that_cannot_run_says_why(backends, monkeypatch):
    backends["oracle"] = Pretended(False, "numba is not installed; pip install numba")
    monkeypatch.setenv("SCAN_BACKEND", "oracle")
    text = r"'oracle' \(forced by SCAN_BACKEND\) cannot run on cpu: numba is not installed; pip install numba"
    with pytest.raises(BackendUnavailableError, match=text):
        select_backend(U, A, B)


def test_nothing_left_is_an_error(backends, monkeypatch):
    monkeypatch.setenv("SCAN_BACKEND", "-fast,-plain")
    with pytest.raises(BackendUnavailableError, match="forbids fast, plain out of fast, plain"):
        select_backend(U, A, B)


def test_a_backend_that_raises_while_it_is_asked_is_unavailable(backends):
    def explode(device):
        raise RuntimeError("half an installation")

    backends["fast"].availability = explode
    assert available_backends("cpu")["fast"] == (False, "RuntimeError: half an installation")
    assert select_backend(U, A, B) == "plain"


def test_announces_a_choice_once(backends, caplog):
    with caplog.at_level(logging.INFO, logger="common.scan.selection"):
        for _ in range(3):
            select_backend(U, A, B)
    assert [r.getMessage() for r in caplog.records] == ["selective scan on cpu: backend fast (automatic choice; found)"]


@pytest.mark.parametrize("name", selection.BACKENDS)
def test_every_backend_is_one(name):
    assert isinstance(selection.load_backend(name), Backend)
    assert selection.load_backend(name) is selection.load_backend(name)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="unknown scan backend 'quick', expected 'auto' or one of reference, chunked"):
        selective_scan(**random_case(), backend="quick")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"delta": torch.zeros(1, 8, 49)}, r"delta must be \(1, 8, 50\), got \(1, 8, 49\)"),
        ({"B": torch.zeros(4, 50)}, r"B must be \(batch, N, L\) or \(batch, groups, N, L\), got \(4, 50\)"),
        ({"C": torch.zeros(1, 2, 4, 50)}, r"C must be \(1, 1, 4, 50\), got \(1, 2, 4, 50\)"),
        ({"B": torch.zeros(1, 3, 4, 50)}, "8 channels do not split into the 3 groups"),
        ({"D": torch.zeros(4)}, r"D must be \(8,\), got \(4,\)"),
        ({"initial_state": torch.zeros(8, 4)}, r"initial_state must be \(1, 8, 4\), got \(8, 4\)"),
        ({"u": torch.zeros(1, 8, 0)}, "none of them empty"),
        ({"A": -torch.ones(8, 4, dtype=torch.complex64)}, "complex tensors are not supported"),
    ],
)
def test_shapes_that_disagree_are_named(change, text):
    with pytest.raises(ValueError, match=text):
        selective_scan(**(random_case() | change))
