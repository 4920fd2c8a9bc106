"""Compiled kernels on disk."""

import importlib.util
from pathlib import Path

from common.compiled.compiling import cached_njit


def test_code_on_disk_is_stale_when_what_it_contains_changes(tmp_path: Path) -> None:
    (tmp_path / "kernels.py").write_text("def double(x):\n    return 2 * x\n")
    spec = importlib.util.spec_from_file_location("kernels", tmp_path / "kernels.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def loaded_from_disk() -> bool:
        kernel = cached_njit(depends=[tmp_path / "vectors.py"])(module.double)
        assert kernel(3) == 6
        return bool(kernel.stats.cache_hits)

    (tmp_path / "vectors.py").write_text("first")
    assert not loaded_from_disk()
    assert loaded_from_disk()
    (tmp_path / "vectors.py").write_text("second")
    assert not loaded_from_disk()
