"""Build mamba-ssm and causal-conv1d from their source distributions for one GPU architecture, to compare with."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from common.errors import InputError

PACKAGES = {"causal-conv1d": "CAUSAL_CONV1D", "mamba-ssm": "MAMBA"}  # name -> prefix of its build variables


def build_mamba_ssm(capability: tuple[int, int], log: Path) -> dict[str, str]:
    """Install both packages into this environment, compiled for one compute capability; nothing else is changed.

    Takes minutes instead of an hour, because the packages' own build compiles for every architecture there is.

    Args:
        capability: of the GPU, (9, 0) for an H100 or H200.
        log: file that the compilers' output is appended to.

    Returns:
        The version installed of each package.

    Raises:
        InputError: no nvcc, or a package does not build; the text names the log.
    """
    if (
        shutil.which("nvcc") is None
        and not (Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "bin/nvcc").exists()
    ):
        raise InputError("building mamba-ssm needs nvcc of the CUDA version that torch was built with; none was found")
    return {name: _build(name, prefix, capability, log) for name, prefix in PACKAGES.items()}


def _build(name: str, prefix: str, capability: tuple[int, int], log: Path) -> str:
    """Fetch, restrict to one architecture, compile and install one package; return its version."""
    with tempfile.TemporaryDirectory() as folder:
        # Without CUDA while fetching: pip asks the source for its metadata, which must not start a build.
        fetch = ["download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--dest", folder, name]
        _pip(fetch, log, {f"{prefix}_SKIP_CUDA_BUILD": "TRUE"})
        archive = next(Path(folder).glob("*.tar.gz"))
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        source = archive.with_name(archive.name.removesuffix(".tar.gz"))
        restrict_architectures(source / "setup.py", capability)
        _pip(["install", "--no-deps", "--no-build-isolation", str(source)], log, {f"{prefix}_FORCE_BUILD": "TRUE"})
        return source.name.rpartition("-")[2]


def restrict_architectures(setup: Path, capability: tuple[int, int]) -> None:
    """Make a setup.py of these two packages compile for one architecture: one line before its extension is declared."""
    number = "".join(map(str, capability))
    text = setup.read_text()
    replaced, count = re.subn(
        r"^( *)ext_modules\.append\(",
        rf'\1cc_flag[:] = ["-gencode", "arch=compute_{number},code=sm_{number}"]\n\1ext_modules.append(',
        text,
        count=1,
        flags=re.MULTILINE,
    )
    if not count or "cc_flag" not in text:
        raise InputError(f"{setup}: expected 'cc_flag' and 'ext_modules.append(' as in releases 2.3 and 1.7")
    setup.write_text(replaced)


def _pip(arguments: list[str], log: Path, variables: dict[str, str]) -> None:
    """Run pip with its output in the log."""
    command = [sys.executable, "-m", "pip", *arguments]
    environment = os.environ | {"MAX_JOBS": str(min(8, os.cpu_count() or 1))} | variables
    with log.open("a") as output:
        print("$", *command, file=output, flush=True)
        done = subprocess.run(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    if done.returncode:
        raise InputError(f"{' '.join(arguments)} failed; see {log}")
