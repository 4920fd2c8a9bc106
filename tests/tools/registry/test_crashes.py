"""Kills, full disks, several processes at once: the old version or the new one is there and verifies, never a half."""

import errno
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from common.errors import InputError
from tests.tools.registry.tiny import ROOT
from tests.tools.registry.tiny import installed_version as version
from tools.download import download
from tools.installed import verify
from tools.registry import archive, install

pytestmark = pytest.mark.usefixtures("registry")


def process(wanted: str) -> subprocess.Popen:
    """A process that installs, and says "ready" when its imports are done."""
    program = f"from tools.download import download; print('ready', flush=True); download({wanted!r})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def killed(wanted: str, seconds: float) -> bool:
    """Kill the process so long after it got ready; True if it was still at work."""
    running = process(wanted)
    assert running.stdout is not None and running.stdout.readline() == b"ready\n"
    time.sleep(seconds)
    at_work = running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.communicate()
    return at_work


def whole(bundles, versions):
    """One of the versions is there, each of its files as it was signed."""
    found = version(bundles)
    assert found in versions
    if found is not None:
        verify("tiny")


@pytest.mark.slow
def test_fifty_kills(bundles):
    start = time.monotonic()
    process("tiny==0.9.0").communicate()
    longest = time.monotonic() - start  # with the imports, which come before "ready"
    generator, at_work = random.Random(0), 0
    for number in range(50):
        wanted = ("tiny==0.9.0", "tiny==0.10.0")[number % 2]
        if number % 5 == 0 and (bundles / "tiny").exists():
            install.remove("tiny", bundles)
        before = version(bundles)
        at_work += killed(wanted, generator.uniform(0, 0.75 * longest))
        whole(bundles, {before, wanted.partition("==")[2]})
    print(f"{at_work} of 50 kills met a process at work")
    download("tiny==0.10.0")
    whole(bundles, {"0.10.0"})
    with install.changing(bundles):  # the next change clears up, whatever was there before it
        pass
    assert sorted(path.name for path in (bundles / install.STAGING).iterdir()) == ["lock"]


STEPS = ["unpack", "_check_identity", "save_json", "_flush", "put_in_place"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("before", [None, "0.9.0"])
def test_stopped_at_each_step(step, before, bundles, monkeypatch):
    """What a kill leaves, made by an exception that no handler sees: the folder for staging stays as it is."""
    if before:
        download(f"tiny=={before}")

    def stop(*words, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(install, step, stop)
        patch.setattr(install.shutil, "rmtree", lambda *words, **more: None)
        download("tiny==0.10.0")
    whole(bundles, {before})
    download("tiny==0.10.0")
    whole(bundles, {"0.10.0"})
    assert sorted(path.name for path in (bundles / install.STAGING).iterdir()) == ["lock"]


def test_without_an_exchange_in_one_step(bundles, monkeypatch):
    """Windows and some network shares: two renames, and a kill between them is put right by the next call."""
    monkeypatch.setattr(install, "exchange", lambda first, second: False)
    download("tiny==0.9.0")
    download("tiny==0.10.0")
    whole(bundles, {"0.10.0"})
    renamed = os.rename

    def once(source, target):
        renamed(source, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(install.os, "rename", once)
        patch.setattr(install.shutil, "rmtree", lambda *words, **more: None)
        download("tiny==0.9.0")
    assert version(bundles) is None
    with install.changing(bundles):
        pass
    whole(bundles, {"0.10.0"})


@pytest.mark.parametrize("place", ["unpack", "manifest", "cache"])
def test_a_full_disk(place, bundles, monkeypatch):
    download("tiny==0.9.0")

    def full(*words, **more):
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    with monkeypatch.context() as patch, pytest.raises(InputError, match="No space left on device"):
        if place == "unpack":
            patch.setattr(archive, "_write", full)
        elif place == "manifest":
            patch.setattr(install, "save_json", full)
        else:
            patch.setattr("tools.registry.fetch.Fetcher.save", full)
        download("tiny==0.10.0")
    whole(bundles, {"0.9.0"})


def test_a_disk_that_is_too_small(bundles, monkeypatch):
    monkeypatch.setattr(install.shutil, "disk_usage", lambda path: type("", (), {"free": 1000})())
    with pytest.raises(InputError, match=r"expected \d+ MB of room on this disk, got 0 MB"):
        download("tiny")


def test_four_processes_at_once(bundles):
    running = [process(f"tiny=={v}") for v in ("0.9.0", "0.10.0", "0.9.0", "0.10.0")]
    for each in running:
        each.communicate()
    assert [each.returncode for each in running] == [0] * 4
    whole(bundles, {"0.9.0", "0.10.0"})
