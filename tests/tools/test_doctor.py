"""The doctor: what it prints, and that wrong numbers do not pass."""

import pytest
import torch

from common.scan import available_backends, selection
from common.scan.reference import Reference
from common.scan.selftest import self_test
from tools import doctor as module


def test_prints_devices_versions_and_every_backend(capsys):
    module.doctor()
    text = capsys.readouterr().out
    assert f"torch            {torch.__version__}" in text
    for name, (available, reason) in available_backends("cpu").items():
        assert f"{name:<10} {'available' if available else 'unavailable'}" in text and reason in text
    assert "causal convolution in front of it: torch (causal-conv1d computes on NVIDIA GPUs only" in text
    assert "self-test    passed: largest relative error" in text and "chosen" in text


@pytest.mark.parametrize("backend", ["chunked", "reference"])
def test_correct_backends_pass(backend):
    outcome = self_test(backend)
    assert outcome.passed and outcome.worst < 1e-5


@pytest.mark.parametrize("spoil", [1.001, float("nan")])
def test_wrong_numbers_fail_and_set_the_exit_code(spoil, monkeypatch, capsys):
    class Wrong(Reference):
        def forward(self, scan, save):
            out, last_state, saved = super().forward(scan, save)
            return out * spoil, last_state, saved

    load = selection.load_backend
    monkeypatch.setattr(selection, "BACKENDS", {"wrong": "nowhere", "reference": "common.scan.reference:Reference"})
    monkeypatch.setattr(selection, "PREFERENCE", {"cpu": ("reference",)})
    monkeypatch.setattr(selection, "load_backend", lambda name: Wrong() if name == "wrong" else load(name))
    assert not self_test("wrong").passed
    with pytest.raises(SystemExit):
        module.doctor()
    assert "FAILED: largest relative error" in capsys.readouterr().out


def test_a_crash_is_a_failure_with_its_message(monkeypatch):
    def crash(name, device):
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(module, "self_test", crash)
    assert module._tested("cpu", "cpu") == (False, "FAILED: RuntimeError: no kernel image is available")
