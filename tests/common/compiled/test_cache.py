"""Compiled kernels on disk: whose code is taken, where it lies, and what damage and strangers do."""

import errno
import importlib.util
import logging
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from common import writing
from common.compiled import cache, compiling
from common.compiled.cache import check_folder, kernel_folder, read_sealed, write_sealed
from common.compiled.compiling import cached_njit
from tests.house import imports, modules

pytestmark = pytest.mark.skipif(not compiling.importable(), reason="needs numba")
DOUBLE = "def double(x):\n    return 2 * x\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own, where this platform's standard has it."""
    monkeypatch.setattr("numba.core.config.CACHE_DIR", "")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setitem(sys.modules, "kernels", ModuleType("kernels"))  # forgotten after the test
    cache._say_not_kept.cache_clear()
    return tmp_path / "caches" / "registration-bundles" / "kernels"


def load(path: Path, text: str = DOUBLE) -> ModuleType:
    """A module made of this text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode  # texts of one second and one length look alike
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def from_disk(module: ModuleType, result: int = 6, depends: tuple[Path, ...] = (), **options) -> bool:
    """Compile the module's function in a new dispatcher, run it, and say whether the code came from disk."""
    kernel = cached_njit(depends, **options)(module.double)
    assert kernel(3) == result
    return bool(kernel.stats.cache_hits)


def test_code_is_kept_in_the_users_cache_folder_for_this_user_alone(tmp_path, folder):
    module, before = load(tmp_path / "package" / "kernels.py"), dict(os.environ)
    assert not from_disk(module)
    assert from_disk(module)
    assert [path.name[:15] for path in folder.iterdir()] == ["kernels.double-"]
    assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "package").iterdir()) == [tmp_path / "package" / "kernels.py"]
    assert dict(os.environ) == before


def test_code_is_stale_when_what_it_contains_changes(tmp_path):
    module, vectors = load(tmp_path / "kernels.py"), tmp_path / "vectors.py"
    for text in ("first", "second"):
        vectors.write_text(text)
        assert not from_disk(module, depends=(vectors,))
        assert from_disk(module, depends=(vectors,))
    assert not from_disk(module, depends=(vectors,), fastmath=True)
    assert not from_disk(module, depends=(vectors,), fastmath={"nsz", "contract"})
    assert from_disk(module, depends=(vectors,), fastmath={"contract", "nsz"})


def test_two_copies_share_code_only_where_it_is_the_same(tmp_path):
    one, other = load(tmp_path / "one" / "kernels.py"), load(tmp_path / "other" / "kernels.py")
    changed = load(tmp_path / "changed" / "kernels.py", DOUBLE.replace("2", "5"))
    assert not from_disk(one)
    assert not from_disk(changed, 15)
    assert from_disk(other)
    assert from_disk(one) and from_disk(changed, 15)


def damage_by(name: str, path: Path) -> None:
    content = path.read_bytes()
    if name.startswith("cut to "):
        path.write_bytes(content[: int(name.split()[-1])])
    elif name.startswith("flipped at "):
        at = len(content) * int(name.split()[-1]) // 100
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    elif name == "zeros":
        path.write_bytes(bytes(len(content)))
    elif name == "no code":
        write_sealed(path, b"no pickle")
    else:
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize(
    "damage",
    ["cut to 0", "cut to 20", "cut to 5000", "flipped at 0", "flipped at 30", "flipped at 99", "zeros", "no code"],
)
def test_a_damaged_file_is_replaced(tmp_path, folder, damage, caplog):
    module = load(tmp_path / "kernels.py")
    assert not from_disk(module)
    damage_by(damage, next(folder.iterdir()))
    with caplog.at_level(logging.INFO, logger="common.compiled.cache"):
        assert not from_disk(module)
    assert "the kernel is compiled anew" in caplog.text
    assert from_disk(module)
    assert len(list(folder.iterdir())) == 1


def test_a_file_that_cannot_be_replaced_is_not_used(tmp_path, folder):
    module = load(tmp_path / "kernels.py")
    assert not from_disk(module)
    damage_by("folder", next(folder.iterdir()))
    assert not from_disk(module)
    assert not from_disk(module)


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_folder_that_others_may_write_is_refused(tmp_path, folder, mode, caplog):
    module = load(tmp_path / "kernels.py")
    assert not from_disk(module)
    folder.chmod(mode)
    assert not from_disk(module)
    assert not from_disk(module)
    assert [r.getMessage() for r in caplog.records] == [
        "compiled kernels are not kept, every process compiles its own: "
        f"{folder} belongs to or may be written by others"
    ]


def test_a_folder_of_somebody_else_is_refused(tmp_path, folder, monkeypatch):
    folder.mkdir(parents=True, mode=0o700)
    if os.getuid() == 0:
        os.chown(folder.parent, 4321, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 4321)
    with pytest.raises(PermissionError, match=r"registration-bundles belongs to or may be written by others"):
        check_folder(folder)


def homeless():
    raise RuntimeError("Could not determine home directory.")


def full_disk(path, write):
    with writing._named_errors(path):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("trouble", ["a file in the way", "read-only", "full disk", "no home"])
def test_where_nothing_can_be_kept_one_line_says_so(tmp_path, folder, trouble, monkeypatch, caplog):
    if trouble == "a file in the way":
        (tmp_path / "caches").write_text("")
    elif trouble == "read-only":
        if not Path("/proc/self").exists() and os.getuid() == 0:
            pytest.skip("nothing is read-only for root")
        monkeypatch.setenv("XDG_CACHE_HOME", "/proc/self/caches")
    elif trouble == "full disk":
        monkeypatch.setattr(cache, "write_atomically", full_disk)
    else:
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr(Path, "home", homeless)
    text = DOUBLE + "def treble(x):\n    return 3 * x\n"
    module = load(tmp_path / "kernels.py", text)
    assert not from_disk(module)
    assert cached_njit()(module.treble)(3) == 9
    assert len(caplog.records) == 1
    assert caplog.text.count("compiled kernels are not kept, every process compiles its own: ") == 1


def test_code_is_read_from_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    module = load(tmp_path / "kernels.py")
    assert not from_disk(module)
    monkeypatch.setattr(cache, "write_atomically", full_disk)
    assert from_disk(module)


def test_without_sources_it_compiles_in_memory(tmp_path, folder):
    module = load(tmp_path / "kernels.py")
    (tmp_path / "kernels.py").unlink()
    assert not from_disk(module)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/caches"}, "/caches"),
        ("linux", {"XDG_CACHE_HOME": "caches"}, "/me/.cache"),
        ("linux", {"XDG_CACHE_HOME": ""}, "/me/.cache"),
        ("darwin", {"XDG_CACHE_HOME": "/caches"}, "/me/Library/Caches"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local"),
        ("win32", {"LOCALAPPDATA": ""}, "/me/AppData/Local"),
    ],
)
def test_the_folder_is_the_platforms(platform, variables, expected, monkeypatch):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", classmethod(lambda cls: Path("/me")))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert kernel_folder() == Path(expected) / "registration-bundles" / "kernels"
    monkeypatch.setattr("numba.core.config.CACHE_DIR", "/numbas")
    assert kernel_folder() == Path("/numbas/registration-bundles/kernels")


def test_sealed_files_are_whole_or_nothing(tmp_path):
    path = tmp_path / "sealed"
    assert read_sealed(path) is None
    write_sealed(path, b"")
    assert read_sealed(path) == b""
    assert read_sealed(tmp_path) is None


COMMON = modules("common")
KERNELS = [name for name, one in COMMON.items() if "@compiled\n" in one.text or "@cached_njit(" in one.text]


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_name_all_files_that_end_up_in_them(name):
    """What a module with kernels imports, and what that imports, apart from how kernels are declared."""
    edges: dict[str, set[str]] = {}
    for module, target in imports(COMMON):
        if target in COMMON and target != "common.compiled.compiling":
            edges.setdefault(module.name, set()).add(target)
    needed, new = {name}, {name}
    while new := {target for one in new for target in edges.get(one, ())} - needed:
        needed |= new
    found = [value for value in vars(importlib.import_module(name)).values() if hasattr(value, "py_func")]
    own = [kernel for kernel in found if kernel.py_func.__module__ == name]
    assert own
    for kernel in own:
        missing = {COMMON[one].path for one in needed} - set(kernel._cache.sources)
        assert not missing, f"depends of {kernel.py_func.__name__} lacks {missing}"
