"""Every row of the papers' tables: its files, its values, its parameters, and three steps of its training.

Three steps are taken with a small network on a phantom of a fifth of the published sides; without
``PAPERS_TESTS=all`` (``make papers-tests``) by one row of each kind alone.
"""

import ast
import csv
import json
import os
import shlex
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow

from tests.bundles.conftest import ROOT, read
from tests.bundles.small import SMALL
from tools.papers.rows import DATALISTS, PAPERS, ROWS, SHAPES, Row

OURS = [row for row in ROWS if row.bundle]
DISTINCT = list({(*row.configs, row.options): row for row in OURS}.values())
SHORT = {
    *("mambamorph_ixi_transmorph", "mambamorph_srreg_xmorpher", "vmambamorph_srreg128_voxelmorph_features"),
    *("psmamba_abdomen_psmamba_net", "vit_v_net_t1_voxelmorph_1", "caml_morph_oasis_without_caml_carsc"),
}
ALL = os.environ.get("PAPERS_TESTS") == "all"
#: Rows whose test command runs too; with ``PAPERS_TESTS=all`` it is every row's.
SCORED = {"vmambamorph_srreg128_voxelmorph_features"}
MR_CT, T1 = {"t1-ct": 1.0}, {"t1-t1": 1.0}


def parser_of(row: Row) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config([str(ROOT / path) for path in row.configs])
    return parser


@pytest.mark.parametrize("row", DISTINCT, ids=lambda row: row.name)
def test_a_row_trains_the_network_that_it_names(row: Row) -> None:
    network = parser_of(row).get_parsed_content("network_def")
    assert sum(p.numel() for p in network.parameters()) == row.parameters


def test_every_row_and_every_overlay_is_in_the_table_once() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert {row.paper for row in ROWS} == set(PAPERS) and {row.data for row in ROWS} <= set(DATALISTS)
    listed = {ROOT / path for row in OURS for path in row.configs[1:]}
    assert listed == set(ROOT.glob("bundles/*/configs/papers/*.json"))
    assert {row.name for row in ROWS}.issuperset(SHORT)


@pytest.mark.parametrize("path", sorted(ROOT.glob("bundles/*/configs/papers/*.json")), ids=lambda p: p.stem)
def test_an_overlay_changes_what_train_json_has(path: Path) -> None:
    train, overlay = read(path.parent.parent / "train.json"), read(path)
    assert {key.partition("#")[0] for key in overlay} <= set(train)
    assert all(train.get(key) != value for key, value in overlay.items()), "a value that train.json has already"


def test_an_overlay_may_be_yaml(tmp_path: Path) -> None:
    """Configurations in YAML are a habit of MONAI's users."""
    row = next(row for row in OURS if row.overlay == "psmamba_abdomen" and row.bundle == "transmorph")
    train, overlay = (ROOT / path for path in row.configs)
    ConfigParser.export_config_file(read(overlay), str(tmp_path / "overlay.yaml"), fmt="yaml")
    parser = ConfigParser()
    parser.read_config([str(train), str(tmp_path / "overlay.yaml")])
    assert parser.get() == parser_of(row).get()


#: (paper, data) -> what the paper says of every method's training there.
SAID: dict[tuple[str, str], dict[str, Any]] = {
    ("mambamorph", "srreg"): {"learning_rate": 1e-4, "epochs": 100, "epoch_length": 150, "size": [176, 208, 192],
                              "label_weight": 1.0, "image_weight": 0.0, "smooth_weight": 0.1, "contrasts": MR_CT},
    ("mambamorph", "ixi"): {"learning_rate": 1e-4, "epochs": 100, "epoch_length": 427, "size": [176, 208, 192],
                            "label_weight": 1.0, "image_weight": 0.0, "smooth_weight": 0.1,
                            "contrasts": {"t1-t2": 1.0}},
    ("vmambamorph", "srreg128"): {"learning_rate": 1e-3, "epochs": 300, "batch_size": 1, "size": [128, 128, 128],
                                  "label_weight": 1.0, "contrasts": MR_CT},
    ("psmamba", "lpba40"): {"epoch_length": 30 * 29, "size": [160, 192, 160], "contrasts": T1, "spacing": 1.0},
    ("psmamba", "mindboggle"): {"epoch_length": 42 * 41, "size": [160, 192, 160], "contrasts": T1, "spacing": 1.0},
    ("psmamba", "abdomen"): {"epoch_length": 24 * 23, "size": [192, 160, 160], "contrasts": {"ct-ct": 1.0},
                             "spacing": 2.0, "may_cut": True},
    ("vit_v_net", "t1"): {"epochs": 500, "epoch_length": 2 * 728, "batch_size": 2, "size": [160, 192, 224],
                          "flip": True, "flip_axes": [0, 1, 2], "smooth_weight": 0.02, "rate_power": 0.9,
                          "contrasts": T1},
    ("caml_morph", "oasis"): {"size": [160, 192, 160], "contrasts": T1, "label_weight": 0.0, "image_weight": 1.0},
}  # fmt: skip
PSMAMBA = {"epochs": 30, "rate_power": 0.8, "amsgrad": True, "learning_rate": 1e-4, "image_weight": 1.0,
           "label_weight": 0.0, "smooth_weight": 1.0, "smooth_on": "ddf", "pairing": "ordered"}  # fmt: skip


@pytest.mark.parametrize("row", OURS, ids=lambda row: row.name)
def test_a_row_has_the_paper_s_values(row: Row) -> None:
    config = parser_of(row).get()
    said = SAID[row.paper, row.data] | (PSMAMBA if row.paper == "psmamba" else {})
    assert {key: config[key] for key in said} == said
    assert set(config["modalities"]) == set("-".join(config["contrasts"]).split("-"))
    if row.paper == "psmamba":
        assert config["image_loss"]["epsilon_on_product"] is True
    if row.paper == "caml_morph":
        assert config["pairing"] == ("ordered" if row.overlay == "pairwise" else "to_atlas")


def small_options(row: Row, folder: Path) -> dict[str, Any]:
    """What makes a row small: the network, the sides, three steps."""
    config = parser_of(row).get()
    multiple = max(16, config["multiple"])
    size = [max(32, multiple * round(n / 5 / multiple)) for n in config["size"]]
    if row.bundle == "vmambamorph":
        size = [32] * 3
    network = {k: v for k, v in SMALL[row.bundle].items() if k not in ("unet_encoder", "unet_decoder")}
    if row.bundle == "vit_v_net":
        network["img_size"] = size
    options = dict(word.split(" ") for word in row.options.removeprefix("--").split(" --") if word)
    return {
        **{f"network_def#{key}": value for key, value in network.items()},
        **{key: json.loads(value) for key, value in options.items()},
        "datalist": str(write_phantom(folder, config, size)),
        "ckpt_dir": str(folder / "runs"),
        "size": size,
        "device": "$torch.device('cpu')",
        "epochs": 1,
        "epoch_length": 3 * config["batch_size"],
        "val_interval": 1,
        "log_interval": 1,
        "progress": False,
    }


def write_phantom(folder: Path, config: dict[str, Any], size: list[int]) -> Path:
    """Three subjects with two nested ellipsoids in every modality of a row, and a pair of two others.

    Where a row's size may cut, the ellipsoids are larger than the size.
    """
    rng = np.random.default_rng(0)
    shape = [n + 16 for n in size] if config["may_cut"] else size
    axes = np.stack(np.meshgrid(*[(np.arange(n) - (n - 1) / 2) / n * 2.2 for n in shape], indexing="ij"), -1)
    items = []
    for name in "abcde":
        radius = np.sqrt(((axes / (1 - 0.2 * rng.random(3))) ** 2).sum(-1))
        label = ((radius < 1).astype(np.uint8) + (radius < 0.6)).astype(np.uint8)
        volumes = {m: np.where(label, 60 + 40 * k * label + 9 * rng.random(shape), 0)
                   for k, m in enumerate(config["modalities"], 1)}  # fmt: skip
        for key, values in (*volumes.items(), ("label", label)):
            kind = np.uint8 if key == "label" else np.float32
            affine = np.diag([config["spacing"]] * 3 + [1.0])
            nibabel.save(nibabel.Nifti1Image(values.astype(kind), affine), folder / f"{name}_{key}.nii")
        items.append({"id": name, **{key: f"{name}_{key}.nii" for key in (*volumes, "label")}})
    moving, fixed = next(iter(config["contrasts"])).split("-")
    pair = {"moving": items[3][moving], "fixed": items[4][fixed]}
    pair |= {"moving_label": items[3]["label"], "fixed_label": items[4]["label"]}
    content = {"labels": {"1": "outer", "2": "inner"}, "training": items[:3], "validation": [pair]}
    (folder / "list.json").write_text(json.dumps(content))
    return folder / "list.json"


@pytest.mark.parametrize("row", DISTINCT, ids=lambda row: row.name)
def test_three_steps(row: Row, tmp_path: Path) -> None:
    if row.name not in SHORT and not ALL:
        pytest.skip("make papers-tests takes three steps of every row")
    files, options = [str(ROOT / path) for path in row.configs], small_options(row, tmp_path)
    workflow = ConfigWorkflow(workflow_type="train", config_file=files, logging_file=False, **options)
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    assert torch.load(tmp_path / "runs" / "last.pt", weights_only=True)["step"] == 3
    with (tmp_path / "runs" / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    terms = {"image": workflow.parser["image_weight"] > 0, "label": workflow.parser["label_weight"] > 0}
    assert [{key: key in line for key in terms} for line in rows[:3]] == [terms] * 3
    assert all(np.isfinite(float(line["loss"])) for line in rows[:3]) and 0 < float(rows[3]["val_dice"]) <= 1
    if row.name in SCORED or ALL:
        check_test_command(row, tmp_path, options)


def check_test_command(row: Row, folder: Path, options: dict[str, Any]) -> None:
    """The row's test command with the same overlay, on the grid that the paper's network saw."""
    words = shlex.split(row.test)
    named = words[words.index("--config_file") + 1]
    files = [str(ROOT / path) for path in ast.literal_eval(named)]
    given = {word.removeprefix("--"): words[n + 1] for n, word in enumerate(words) if word.startswith("--")}
    assert set(row.configs[1:]) <= set(ast.literal_eval(named)), "the overlay that it was trained with"
    config = parser_of(row).get()
    assert (float(given["spacing"]), given["passes"], given["window"]) == (config["spacing"], "[1]", "none")
    assert json.loads(given["shape"]) == list(SHAPES[row.data]) == config["size"]
    more = {key: value for key, value in options.items() if key.startswith("network_def#")}
    more |= {"datalist": options["datalist"], "section": "validation", "weights": str(folder / "runs" / "best.pt")}
    more |= {"spacing": config["spacing"], "passes": [1], "window": "none", "shape": options["size"]}
    more |= {"output_dir": str(folder / "eval")}
    workflow = ConfigWorkflow(workflow_type="infer", config_file=files, logging_file=False, console=False, **more)
    workflow.initialize()
    workflow.run()
    content = json.loads((folder / "eval" / "evaluation.json").read_text())
    assert content["protocol"]["passes"] == [1] and content["pairs"][0]["dice_nearest"] > 0.5
    assert content["pairs"][0]["folds_percent"] >= 0  # folds stand beside Dice
