"""An authors' checkpoint in an installed bundle, and a registry's bundles as Hugging Face repositories."""

import hashlib
import io
import re

import pytest
import torch

from common.errors import InputError
from tests.tools.registry.server import serving
from tests.tools.registry.tiny import weights
from tools.download import download
from tools.installed import verify
from tools.registry.export import export
from tools.registry.install import read_manifest

pytestmark = pytest.mark.usefixtures("registry")


def their_name(key):
    key = re.sub(r"^unet\.(encoder|decoder)\.(\d+)\.0\.", r"unet_model.\1.\2.0.main.", key)
    return re.sub(r"^unet\.final\.(\d+)\.0\.", r"unet_model.remaining.\1.main.", key).replace("head.", "flow.")


@pytest.fixture
def checkpoint(tmp_path):
    """The tiny network's weights, times two, as its authors' code names them."""
    ours = torch.load(io.BytesIO(weights()), weights_only=True)
    theirs = {their_name(key): value * 2 for key, value in ours.items()}
    torch.save({"state_dict": theirs}, tmp_path / "theirs.pt")
    return tmp_path / "theirs.pt"


def test_converted_and_put_in(bundles, checkpoint, tmp_path, capsys):
    download("tiny")
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    with serving(tmp_path) as server:
        download("tiny", weights=f"{server.url}/theirs.pt", sha256=digest)
    assert f"sha256 {digest} (as given)" in capsys.readouterr().out
    new = torch.load(bundles / "tiny" / "models" / "model.pt", weights_only=True)
    old = torch.load(io.BytesIO(weights()), weights_only=True)
    assert all(torch.equal(new[key], 2 * value) for key, value in old.items())
    record = read_manifest(bundles / "tiny")
    assert record.weights["sha256"] == digest
    with pytest.raises(InputError, match="expected the bundles as they were installed"):
        verify("tiny")
    assert "weights of http" in capsys.readouterr().out
    with pytest.raises(InputError, match="were put in"):
        download("tiny")
    download("tiny", force=True)
    verify("tiny")
    download("tiny", weights=str(checkpoint))
    assert "recorded; nobody has vouched for it" in capsys.readouterr().out


def test_a_wrong_hash_changes_nothing(bundles, tmp_path):
    download("tiny")
    (tmp_path / "theirs.pt").write_bytes(b"x")
    with pytest.raises(InputError, match=r"theirs\.pt: expected the SHA-256 00, got .*: nothing was changed"):
        download("tiny", weights=str(tmp_path / "theirs.pt"), sha256="00")
    verify("tiny")


@pytest.mark.parametrize("content", [b"", b"no checkpoint"])
def test_what_does_not_fit_changes_nothing(bundles, tmp_path, content):
    download("tiny")
    (tmp_path / "theirs.pt").write_bytes(content)
    with pytest.raises(InputError, match="checkpoint"):
        download("tiny", weights=str(tmp_path / "theirs.pt"))
    verify("tiny")


def test_there_is_no_bundle_or_no_file(bundles, tmp_path):
    with pytest.raises(InputError, match="expected an installed bundle to put the weights into"):
        download("tiny", weights=str(tmp_path / "theirs.pt"))
    download("tiny")
    with pytest.raises(InputError, match=r"theirs\.pt: expected a checkpoint, got: No such file"):
        download("tiny", weights=str(tmp_path / "theirs.pt"))
    with serving(tmp_path) as server, pytest.raises(InputError, match="the server answers 404"):
        download("tiny", weights=f"{server.url}/theirs.pt")


def test_exported(registry, tmp_path):
    export(registry, tmp_path / "hub")
    card = (tmp_path / "hub" / "tiny" / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\nlibrary_name: monai\n")
    assert (tmp_path / "hub" / "tiny" / "models" / "model.pt").is_file()
    with pytest.raises(InputError, match="tiny: expected nothing there"):
        export(registry, tmp_path / "hub")
    with pytest.raises(InputError, match="expected --layout huggingface, got ngc"):
        export(registry, tmp_path / "hub", layout="ngc")
