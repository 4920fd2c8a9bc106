"""The table of the papers' recipes in docs/training.md says what the configurations have."""

import re
from typing import Any

from tests.bundles.conftest import read
from tests.house import ROOT

PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


def rows() -> dict[str, list[str]]:
    """Bundle -> the cells of its row; "the same" stands for the cell above."""
    table = PAGE.partition("| bundle | sees |")[2].partition("\n\n")[0].splitlines()[2:]
    found: dict[str, list[str]] = {}
    for line in table:
        names, *cells = (cell.strip() for cell in line.strip("| ").split(" | "))
        found |= dict.fromkeys(names.split(", "), cells)
    return found


def test_the_table_of_recipes_has_every_bundle_and_its_values() -> None:
    table = rows()
    assert set(table) == {path.name for path in (ROOT / "bundles").iterdir() if path.is_dir()}
    for bundle, (sees, loss, adam, length, size) in table.items():
        config: dict[str, Any] = read(ROOT / "bundles" / bundle / "configs" / "train.json")
        assert len(sees.partition("(")[0].partition(", to")[0].split(",")) == len(config["modalities"]), bundle
        assert float(re.findall(r"\de-\d", adam)[0]) == config["learning_rate"], bundle
        assert ("amsgrad" in adam) == config["amsgrad"], bundle
        assert float((re.findall(r"power ([\d.]+)", adam) or ["0"])[0]) == config["rate_power"], bundle
        steps = config["epoch_length"] // config["batch_size"]
        assert length == f"{config['epochs']} x {steps}", bundle
        assert [int(n) for n in size.split()] == config["size"], bundle
        if "the same" not in loss:
            assert ("label Dice" in loss) == (config["label_weight"] > 0), bundle
            assert f"{config['smooth_weight']} x" in loss, bundle
            assert f"batch {config['batch_size']}" in loss or config["batch_size"] == 1, bundle
            assert f"clip {config['max_gradient_norm']}" in loss or config["max_gradient_norm"] == 0, bundle
