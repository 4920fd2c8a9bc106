"""``validate --zoo``: what the model zoo's own CI asks of a bundle in full mode, without a network.

Source: ``ci/verify_bundle.py`` and ``ci/utils.py`` of Project-MONAI/model-zoo. Unlike every other check this one *runs*
the bundle's code: its library, in a process that cannot import this project.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.package import ARCHIVE_NAME, bundle_files
from tools.validate.finding import Contents, Finding
from tools.validate.metadata import PATH as METADATA
from tools.validate.metadata import SCHEMA
from tools.validate.weights import PATH as WEIGHTS

SECONDS = 600
_WHERE = {"verify_metadata": METADATA, "verify_net_in_out": METADATA, "ckpt_export": "configs/inference.json"}


def check_zoo(path: Path, bundle: Contents, seconds: float = SECONDS) -> list[Finding]:
    """What fails of the zoo's full mode.

    Args:
        path: folder or archive; a folder gets this project's ``common``, as in its archive.
        bundle: what was read there, and found free of errors.
        seconds: how long all steps together may take.
    """
    if WEIGHTS not in bundle.files:  # the zoo fetches what large_files.yml names before it looks
        remedy = "put the file there; of another address only its hash can be known without a network"
        return [Finding(WEIGHTS, "", "expected this file, got none", remedy)]
    with tempfile.TemporaryDirectory() as folder:
        staged = Path(folder, bundle.name)
        for name, content in _files(path, bundle).items():
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            (staged / name).write_bytes(content)
        return list(_run(staged, seconds))


def _files(path: Path, bundle: Contents) -> dict[str, bytes]:
    if path.is_dir():
        return {name: source.read_bytes() for name, source in bundle_files(path).items()}
    return dict(bundle.files)


def _run(staged: Path, seconds: float) -> Iterator[Finding]:
    # Without `site`, no .pth file of an editable installation makes this project importable.
    monai = importlib.util.find_spec("monai")
    packages = Path(monai.origin or "").parents[1] if monai else Path("/")
    words = Path(__file__).with_name("zoo_steps.py"), staged, SCHEMA, packages
    command = [sys.executable, "-S", *map(str, words)]
    remedy = "run MONAI's command of this name on the bundle to see all of it"
    try:
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=seconds, check=False)
        failures = json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        yield Finding("", "", f"expected the zoo's steps within {seconds:g} seconds", remedy)
        return
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        yield Finding("", "", f"expected the zoo's steps to end, got: {last[:300]}", remedy)
        return
    for step, reason in failures.items():
        yield Finding(_WHERE[step], "", f"expected {step} to pass, got: {reason}", remedy)


def check_names(paths: Sequence[str]) -> dict[str, Finding]:
    """Path to a warning where another one's name contains its name: the zoo finds versions by parts of names."""
    names = {path: _name(Path(path)) for path in paths}
    found = {}
    for path, name in names.items():
        longer = sorted(other for other in names.values() if name in other and name != other)
        if longer:
            reason = f"{longer[0]} contains this name: the zoo would take its versions for this bundle's"
            found[path] = Finding("", "", reason, "submit one of them under another name", "warning")
    return found


def _name(path: Path) -> str:
    match = ARCHIVE_NAME.match(path.name)
    return match["name"] if match else path.resolve().name
