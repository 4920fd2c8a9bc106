"""An authors' checkpoint in an installed bundle, and a registry's bundles as Hugging Face repositories."""

import hashlib
import io
import re
from pathlib import Path

import pytest
import torch

from common.errors import InputError
from tests.tools.registry.server import serving
from tests.tools.registry.tiny import weights
from tests.tools.validate.defects import Runs, pickled
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


def test_a_pickle_that_runs_changes_nothing(bundles, tmp_path):
    download("tiny")
    pickled(Runs())(bundles / "tiny")
    (bundles / "tiny" / "models" / "model.pt").rename(tmp_path / "theirs.pt")
    download("tiny", force=True)
    with pytest.raises(InputError, match=r"theirs\.pt"):
        download("tiny", weights=str(tmp_path / "theirs.pt"))
    assert not Path("/tmp/it-ran").exists()
    verify("tiny")


def test_there_is_no_bundle_or_no_file(bundles, tmp_path):
    with pytest.raises(InputError, match="expected an installed bundle to put the weights into"):
        download("tiny", weights=str(tmp_path / "theirs.pt"))
    download("tiny")
    with pytest.raises(InputError, match=r"theirs\.pt: expected a checkpoint, got: No such file"):
        download("tiny", weights=str(tmp_path / "theirs.pt"))
    with serving(tmp_path) as server, pytest.raises(InputError, match="the server answers 404"):
        download("tiny", weights=f"{server.url}/theirs.pt")


def test_a_connection_that_breaks_is_resumed_by_the_same_call_and_by_the_next(bundles, checkpoint, tmp_path):
    download("tiny")
    content, left = checkpoint.read_bytes(), [b"a", b"b"]  # answers of 1,000 bytes, then none

    def breaks_off(handler, path):
        start = int((handler.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        if len(handler.server.log) == 1:  # asks for the size
            return False
        if not left:
            handler.send_error(404)
            return True
        left.pop()
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start : start + 1000])
        handler.wfile.flush()
        handler.connection.close()
        return True

    with serving(tmp_path, breaks_off) as server:
        with pytest.raises(InputError, match="the server answers 404"):
            download("tiny", weights=f"{server.url}/theirs.pt")
        verify("tiny")
        server.misbehave = lambda handler, path: False
        download("tiny", weights=f"{server.url}/theirs.pt")
        asked = [span for _, span in server.log]
    assert asked == [None, None, "bytes=1000-", "bytes=2000-", None, "bytes=2000-"]
    assert read_manifest(bundles / "tiny").weights["sha256"] == hashlib.sha256(content).hexdigest()
    assert not list(tmp_path.glob("cache/checkpoints/*.part"))


def without(header):
    def misbehave(handler, path):
        content = path.read_bytes()
        handler.send_response(200)
        if header != "Content-Length":
            handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)
        return True

    return misbehave


def test_a_server_that_does_not_name_its_file_is_asked_for_all_of_it(bundles, checkpoint, tmp_path):
    download("tiny")
    with serving(tmp_path, without("ETag")) as server:
        state = f"{server.url}/theirs.pt {checkpoint.stat().st_size} "
        part = tmp_path / "cache" / "checkpoints" / f"{hashlib.sha256(state.encode()).hexdigest()}.part"
        part.parent.mkdir()
        part.write_bytes(b"another file's beginning")
        download("tiny", weights=f"{server.url}/theirs.pt")
        assert [span for _, span in server.log] == [None, None]


def test_a_download_has_bounds(bundles, checkpoint, tmp_path, monkeypatch):
    download("tiny")
    with serving(tmp_path, without("Content-Length")) as server:
        with pytest.raises(InputError, match="expected a server that says the file's size"):
            download("tiny", weights=f"{server.url}/theirs.pt")
        server.misbehave = lambda handler, path: False
        monkeypatch.setattr("tools.registry.checkpoint.MAX_BYTES", 1000)
        with pytest.raises(InputError, match=r"expected at most 1000 bytes, got \d+"):
            download("tiny", weights=f"{server.url}/theirs.pt")
    verify("tiny")


def test_exported(registry, tmp_path):
    export(registry, tmp_path / "hub")
    card = (tmp_path / "hub" / "tiny" / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\nlibrary_name: monai\n")
    assert (tmp_path / "hub" / "tiny" / "models" / "model.pt").is_file()
    with pytest.raises(InputError, match="tiny: expected nothing there"):
        export(registry, tmp_path / "hub")
    with pytest.raises(InputError, match="expected --layout huggingface, got ngc"):
        export(registry, tmp_path / "hub", layout="ngc")
