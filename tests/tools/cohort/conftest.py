"""A cohort that costs a fraction of a second a pair: a tiny bundle, phantoms, and one image that is damaged."""

import json
from pathlib import Path

import pytest

from tests.common.bundle.test_run import write_bundle
from tests.common.registration.phantom import make_image
from tools.cohort.state import Cohort


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Minutes of kills are for who asks for them."""
    if item.get_closest_marker("kills") and "kills" not in item.config.getoption("markexpr"):
        pytest.skip("takes minutes: make kill-tests")


def make_list(folder: Path, count: int, bad: int | None = None) -> Path:
    """A datalist of ``count`` pairs of phantoms; the moving image of pair ``bad`` is cut short."""
    pairs = []
    fixed = make_image(folder / "fixed.nii.gz")
    for number in range(count):
        moving = make_image(folder / f"moving{number}.nii.gz", deform=1.0 + 0.2 * number)
        if number == bad:
            moving.write_bytes(moving.read_bytes()[:4000])
        pairs.append({"fixed": fixed.name, "moving": moving.name, "name": f"pair{number}"})
    (folder / "list.json").write_text(json.dumps({"test": pairs}))
    return folder / "list.json"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_bundle(tmp_path_factory.mktemp("bundle") / "tiny", 1))


@pytest.fixture
def listed(tmp_path: Path) -> Cohort:
    """Four pairs, none of them done."""
    from common.registration.pairs import listed_pairs

    return Cohort(tmp_path / "out", listed_pairs(make_list(tmp_path, 4)))


def finish(cohort: Cohort, number: int, **more: object) -> None:
    """What a finished pair leaves, as far as the table and the page read it."""
    pair = cohort.pairs[number]
    folder = cohort.folder / pair["name"]
    folder.mkdir(parents=True, exist_ok=True)
    metrics = {"fixed": pair["fixed"], "moving": pair["moving"], "field": {"folds_percent": 0.5}, **more}
    (folder / "metrics.json").write_text(json.dumps(metrics))
