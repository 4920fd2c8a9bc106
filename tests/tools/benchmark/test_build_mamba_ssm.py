"""Building mamba-ssm: one architecture, the output in a log, and what stops it. Nothing is installed here."""

import tarfile
from pathlib import Path

import pytest

from common.errors import InputError
from tools.benchmark import build_mamba_ssm as module
from tools.benchmark.build_mamba_ssm import build_mamba_ssm, restrict_architectures

SETUP = 'cc_flag = []\nif True:\n    cc_flag.append("arch=compute_80,code=sm_80")\n    ext_modules.append(1)\n'


def test_without_a_compiler_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    with pytest.raises(InputError, match="needs nvcc of the CUDA version that torch was built with"):
        build_mamba_ssm((9, 0), tmp_path / "log")


def test_each_package_is_fetched_restricted_and_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen = []

    def pip(arguments: list[str], log: Path, variables: dict[str, str]) -> None:
        seen.append((arguments[0], variables))
        if arguments[0] == "download":
            folder, name = Path(arguments[-2]), arguments[-1]
            (tmp_path / "setup.py").write_text(SETUP)
            with tarfile.open(folder / f"{name}-2.3.0.tar.gz", "w:gz") as packed:
                packed.add(tmp_path / "setup.py", f"{name}-2.3.0/setup.py")
        else:
            assert "compute_90,code=sm_90" in (Path(arguments[-1]) / "setup.py").read_text()

    monkeypatch.setattr(module, "_pip", pip)
    monkeypatch.setattr(module.shutil, "which", lambda name: "/usr/bin/nvcc")
    assert build_mamba_ssm((9, 0), tmp_path / "log") == {"causal-conv1d": "2.3.0", "mamba-ssm": "2.3.0"}
    assert [kind for kind, _ in seen] == ["download", "install"] * 2
    assert seen[0][1] == {"CAUSAL_CONV1D_SKIP_CUDA_BUILD": "TRUE"} and seen[3][1] == {"MAMBA_FORCE_BUILD": "TRUE"}


def test_a_failing_build_names_its_log(tmp_path: Path):
    log = tmp_path / "log"
    with pytest.raises(InputError, match=r"install --no-such-option failed; see .*log"):
        module._pip(["install", "--no-such-option"], log, {})
    assert "no such option" in log.read_text()


def test_one_architecture_is_put_before_the_extension(tmp_path):
    setup = tmp_path / "setup.py"
    setup.write_text(
        'cc_flag = []\nif True:\n    cc_flag.append("arch=compute_80,code=sm_80")\n    ext_modules.append(1)\n'
    )
    restrict_architectures(setup, (9, 0))
    names = {"ext_modules": []}
    exec(setup.read_text(), names)
    assert names["cc_flag"] == ["-gencode", "arch=compute_90,code=sm_90"]
    setup.write_text("nothing of the kind")
    with pytest.raises(InputError, match=r"expected 'cc_flag' and 'ext_modules\.append"):
        restrict_architectures(setup, (9, 0))
