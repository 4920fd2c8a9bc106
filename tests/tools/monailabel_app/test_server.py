"""A server that stays alive and confined: faults, cancelling, names, tokens. Kinds are named here, no payloads."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.tools.monailabel_app.serving import QUICK, Serving, damaged, files_left, make_studies, serving, snapshot
from tests.tools.monailabel_app.test_names import BAD

pytestmark = pytest.mark.label
pytest.importorskip("monailabel", reason="MONAI Label is not installed: make label-tests")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("server")
    make_studies(folder)
    with serving(folder, ["--queue", "2", "--largest_mb", "20"]) as started:
        yield started
        assert files_left(started) == []
    assert list(started.temporary.iterdir()) == []


def infer(server: Serving, model: str = "atlas_segmentation", image: str = "lps", files: Any = None, **params: Any):
    data = {"params": json.dumps({**QUICK, **params})}
    return server.request("POST", f"/infer/{model}", params={"image": image}, data=data, files=files)


def works(server: Serving) -> bool:
    return infer(server).status_code == 200 and server.request("GET", "/queue/").json() == []


FORM = {"content-type": "multipart/form-data; boundary=b"}
FAULTS = [
    ("no such model", {"model": "liver"}, 404, "no model 'liver'; there are atlas_segmentation"),
    ("no such image", {"image": "nobody"}, 404, "no image 'nobody' in the studies"),
    ("no image", {"image": ""}, 400, "expected the name of an image, a session or a file"),
    ("no such atlas", {"atlas": "x"}, 400, "atlas: expected one of first, second, mni152-tissues"),
    ("no such parameter", {"refinment": "off"}, 400, "did you mean refinement?"),
    ("no switch", {"save_label": "perhaps"}, 400, "expected save_label to be true or false"),
    ("a person's label", {"save_label": True, "label_tag": "final"}, 400, "label_tag: expected another than final"),
    ("the same image", {"model": "registration", "moving": "lps"}, 400, "moving: expected another image"),
    ("no earlier study", {"model": "follow_up"}, 422, "expected a labelled study of lps before lps"),
]


@pytest.mark.parametrize(("kind", "words", "status", "reason"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_faults_have_a_status_and_a_reason(server: Serving, kind: str, words: dict, status: int, reason: str):
    answer = infer(server, **words)
    assert (answer.status_code, reason in answer.json()["detail"]) == (status, True), answer.text


@pytest.mark.parametrize("name", ["image", "study", "model", "label", "file", "session", "ticket", "folder"])
def test_parameters_cannot_say_what_is_worked_on(server: Serving, name: str):
    data = {"params": json.dumps({**QUICK, name: "lps"})}
    answer = server.request("POST", "/infer/atlas_segmentation?image=lps", data=data)
    assert answer.status_code == 400 and f"parameter '{name}'" in answer.json()["detail"]


@pytest.mark.parametrize("params", ["{", "[1]", '"text"', "[" * 5000])
def test_parameters_that_are_no_object(server: Serving, params: str):
    answer = server.request("POST", "/infer/atlas_segmentation?image=lps", data={"params": params})
    assert answer.status_code == 400 and "params: expected a JSON object" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("kind", "status"), [("empty", 422), ("text", 422), ("cut", 422), ("flat", 422), ("huge", 422)]
)
@pytest.mark.parametrize("place", ["infer", "datastore", "session"])
def test_files_that_are_no_images(server: Serving, tmp_path: Path, place: str, kind: str, status: int):
    before = snapshot(server.studies)
    content = damaged(tmp_path, kind).read_bytes()
    method, path, field = {
        "infer": ("POST", "/infer/atlas_segmentation", "file"), "datastore": ("PUT", "/datastore/?image=new", "file"),
        "session": ("PUT", "/session/", "files"),
    }[place]  # fmt: skip
    answer = server.request(method, path, files=[(field, ("a.nii.gz", content))])
    assert answer.status_code == status, answer.text
    assert str(server.temporary) not in answer.text and "uploaded" in answer.json()["detail"]
    assert snapshot(server.studies) == before


def test_other_kinds_of_files(server: Serving):
    for name in ("a.py", "a.pt", "a.zip", ""):
        answer = server.request("PUT", "/datastore/?image=new", files={"file": (name or "x", b"content")})
        assert answer.status_code == 415, answer.text


def test_requests_that_are_too_large(server: Serving):
    def parts() -> Iterator[bytes]:
        for _ in range(30):
            yield bytes(10**6)

    assert server.request("PUT", "/datastore/?image=new", data=bytes(21 * 10**6)).status_code == 413
    hidden = server.request(
        "PUT", "/datastore/?image=new", data=parts(), headers={"content-type": "multipart/form-data; boundary=b"}
    )
    assert hidden.status_code in (400, 413)
    assert works(server)


#: Where a request names something: method, path, fields of the query, whether a file comes with it.
PLACES = {
    "image of infer": ("POST", "/infer/atlas_segmentation", "image", None),
    "session of infer": ("POST", "/infer/atlas_segmentation?image=lps", "session_id", None),
    "image of the datastore": ("GET", "/datastore/image", "image", None),
    "facts of an image": ("GET", "/datastore/image/info", "image", None),
    "uploaded image": ("PUT", "/datastore/", "image", "file"),
    "image of a label": ("PUT", "/datastore/label", "image", "label"),
    "tag of a label": ("PUT", "/datastore/label?image=lps", "tag", "label"),
    "label": ("GET", "/datastore/label?tag=final", "label", None),
    "tag": ("GET", "/datastore/label?label=lps", "tag", None),
}
#: Addresses of MONAI Label's own server that this one does not have.
UPSTREAM = (
    "/model/atlas_segmentation", "/logs/", "/proxy/dicom/x", "/ohif/", "/infer/wsi/x", "/reload", "/static/x",
    "/batch/infer/atlas_segmentation", "/docs", "/train/", "/scoring/",
)  # fmt: skip
_EMPTY_MEANS_NONE = {"session of infer", "tag of a label"}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", [kind for kind in BAD if kind != "surrogate"])
def test_every_name_is_confined(server: Serving, place: str, kind: str):
    if kind == "empty" and place in _EMPTY_MEANS_NONE:
        pytest.skip("nothing given is the default here")
    method, path, field, upload = PLACES[place]
    before = snapshot(server.studies.parent / "atlases", server.studies)
    content = (server.studies / "lps.nii.gz").read_bytes()
    files = {upload: ("a.nii.gz", content)} if upload else None
    answer = server.request(method, path, params={field: BAD[kind]}, files=files)
    assert answer.status_code == 400, answer.text
    assert snapshot(server.studies.parent / "atlases", server.studies) == before


@pytest.mark.parametrize("field", ["label_tag", "moving", "moving_tag", "atlas", "bundle", "earlier", "tag"])
@pytest.mark.parametrize("kind", ["parent", "absolute", "slash", "hidden"])
def test_names_among_the_parameters_are_confined(server: Serving, field: str, kind: str):
    before = snapshot(server.studies)
    model = {"moving": "registration", "moving_tag": "registration", "earlier": "follow_up", "tag": "follow_up"}
    answer = infer(server, model.get(field, "atlas_segmentation"), **{field: BAD[kind], "save_label": True})
    assert answer.status_code == 400, answer.text
    assert snapshot(server.studies) == before


@pytest.mark.parametrize("path", UPSTREAM)
def test_nothing_else_answers(server: Serving, path: str):
    assert {server.request(method, path).status_code for method in ("GET", "POST", "PUT", "DELETE")} <= {404, 405}


def test_an_image_cannot_be_removed(server: Serving):
    assert server.request("DELETE", "/datastore/image?id=lps").status_code == 405


def test_labels_have_to_lie_on_their_image(server: Serving):
    content = (server.studies / "anisotropic.nii.gz").read_bytes()
    answer = server.request("PUT", "/datastore/label?image=lps", files={"label": ("a.nii.gz", content)})
    assert answer.status_code == 422
    assert "expected" in answer.json()["detail"] and str(server.studies) not in answer.text


def test_archives_are_not_opened(server: Serving):
    answer = server.request("PUT", "/session/?uncompress=true", files={"files": ("a.zip", b"PK")})
    assert answer.status_code == 400 and "archives are not opened" in answer.json()["detail"]


class Slow:
    """A registration that takes long: the sample's template onto a study, refined."""

    def __init__(self, server: Serving) -> None:
        self.server, self.answer = server, None
        self.thread = threading.Thread(target=self._ask, daemon=True)
        self.thread.start()

    def _ask(self) -> None:
        params = {"atlas": "mni152-tissues", "refinement": "accurate"}
        with suppress(OSError):  # the server may end meanwhile
            self.answer = infer(self.server, **params)


def listed(server: Serving, count: int) -> list[dict]:
    """The queue once it has so many in it."""
    while len(rows := server.request("GET", "/queue/").json()) < count:
        time.sleep(0.05)
    return rows


def test_the_queue_is_told_and_left(server: Serving):
    """While one is worked on: others are told their place, a full queue refuses, the server answers, all can leave."""
    slow = [Slow(server)]
    listed(server, 1)
    slow += [Slow(server), Slow(server)]
    rows = listed(server, 3)
    assert [row["position"] for row in rows] == [0, 1, 2]
    info = server.request("GET", "/info/").json()
    assert len(info["queue"]) == 3
    refused = infer(server)
    assert (
        refused.status_code == 429 and refused.headers["Retry-After"] and "2 requests wait" in refused.json()["detail"]
    )
    for row in reversed(rows):
        assert server.request("DELETE", f"/queue/{row['id']}").status_code == 200
    for one in slow:
        one.thread.join(60)
        assert one.answer.status_code == 409 and one.answer.json()["detail"] == "this request was cancelled"
    assert server.request("DELETE", f"/queue/{rows[0]['id']}").status_code == 404
    assert works(server)


def test_a_client_that_goes_frees_the_worker(server: Serving):
    import http.client

    host = server.address.removeprefix("http://")
    connection = http.client.HTTPConnection(host)
    body = b'--b\r\nContent-Disposition: form-data; name="params"\r\n\r\n{"atlas": "mni152-tissues"}\r\n--b--\r\n'
    connection.request(
        "POST", "/infer/atlas_segmentation?image=lps", body, {"content-type": "multipart/form-data; boundary=b"}
    )
    listed(server, 1)
    connection.close()
    while server.request("GET", "/queue/").json():
        time.sleep(0.05)
    assert works(server)


def test_it_ends_in_the_middle_of_a_registration(tmp_path: Path):
    make_studies(tmp_path)
    with serving(tmp_path) as server:
        slow = Slow(server)
        listed(server, 1)
    slow.thread.join(60)
    assert slow.answer is None or slow.answer.json()["detail"] in ("the server is ending", "this request was cancelled")
    assert server.process.returncode == 0 and list(server.temporary.iterdir()) == []


def test_what_a_client_says_of_an_image_stays_its_word(server: Serving):
    """Slicer calls the file that it fetches by ``name``: another client must not choose it."""
    content = (server.studies / "lps.nii.gz").read_bytes()
    facts = {"name": BAD["parent"], "path": BAD["absolute"], "checksum": "x"}
    answer = server.request(
        "PUT", "/datastore/?image=told", files={"file": ("a.nii.gz", content)}, data={"params": json.dumps(facts)}
    )
    assert answer.status_code == 200
    info = server.request("GET", "/datastore/image/info?image=told").json()
    assert info["name"] == "told.nii.gz" and info["client"] == facts and not {"path", "checksum"} & set(info)


def test_other_hosts_and_origins(server: Serving):
    assert server.request("GET", "/info/", headers={"host": "elsewhere.example"}).status_code == 400
    assert server.request("GET", "/info/", headers={"origin": "https://elsewhere.example"}).status_code == 403


def test_a_token_is_given_to_slicer(tmp_path: Path):
    """The login of Slicer's module: is a token needed, get it for user and password, send it."""
    make_studies(tmp_path)
    secret = "a long word that nobody guesses"
    with serving(tmp_path, REGISTRATION_LABEL_TOKEN=secret) as server:
        client = server.client()
        assert client.auth_enabled() and not client.auth_valid_token() and secret not in server.said
        with pytest.raises(Exception, match="log in with any user name"):
            client.info()
        with pytest.raises(Exception, match="as the password"):
            client.auth_token("me", "wrong")
        client.update_auth(client.auth_token("me", secret))
        assert client.auth_valid_token() and client.info()["name"] == "Registration"


def test_elsewhere_than_on_loopback_a_token_is_made(tmp_path: Path):
    make_studies(tmp_path)
    with serving(tmp_path, ["--host", "0.0.0.0"]) as server:
        token = server.said.partition("password): ")[2].split()[0]
        address = f"/info/?at={server.address}"
        assert server.request("GET", address, headers={"host": "127.0.0.1"}).status_code == 401
        headers = {"host": "127.0.0.1", "authorization": f"Bearer {token}"}
        assert server.request("GET", address, headers=headers).status_code == 200
