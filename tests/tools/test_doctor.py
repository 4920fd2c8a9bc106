"""The doctor: what it prints, and that wrong numbers do not pass."""

import pytest
import torch

from common.scan import available_backends, selection, selftest
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


def test_a_crash_is_a_failure_with_its_message():
    def crash():
        raise RuntimeError("no kernel image is available")

    assert module._tested(crash) == (False, "FAILED: RuntimeError: no kernel image is available")


@pytest.mark.parametrize("spoil", [1.001, float("nan")])
def test_a_wrong_convolution_fails(spoil, monkeypatch):
    assert selftest.convolution_test().passed
    right = selftest.causal_convolution
    monkeypatch.setattr(
        selftest, "causal_convolution", lambda u, *rest: right(u, *rest) * (spoil if u.dtype == torch.float32 else 1)
    )
    outcome = selftest.convolution_test()
    assert not outcome.passed and outcome.where in ("output", "gradient of u", "gradient of weight", "gradient of bias")
