"""Servers that drop, stall, lie or lead elsewhere."""

import pytest

from common.errors import InputError
from tests.tools.registry.server import serving
from tests.tools.registry.tiny import installed_version as version
from tools.download import download
from tools.installed import remove, verify
from tools.registry.client import Client

pytestmark = pytest.mark.usefixtures("registry")


def drops(times):
    """Break the connection in the middle of an archive, so many times."""
    left = [times]

    def misbehave(handler, path):
        if path.suffix != ".zip" or not left[0]:
            return False
        left[0] -= 1
        start = int((handler.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        content = path.read_bytes()
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start : start + 100_000])
        handler.wfile.flush()
        handler.connection.close()
        return True

    return misbehave


def test_a_dropped_connection_goes_on_where_it_broke_off(registry, bundles):
    with serving(registry, drops(3)) as server:
        download("tiny", registry=server.url)
        ranges = [asked for path, asked in server.log if path.endswith(".zip")]
    assert version(bundles) == "0.10.0"
    starts = [int(asked[6:-1]) for asked in ranges[1:]]
    assert len(starts) == 3 and starts == sorted(starts) and starts[0] > 0


def test_a_later_call_goes_on_too(registry, bundles):
    with serving(registry, drops(2)) as server:
        entry = newest(registry)
        part = registry.parent / "cache" / "archives" / f"{entry.sha256}.part"
        part.parent.mkdir(parents=True)
        part.write_bytes((registry / "targets" / entry.path).read_bytes()[:150_000])
        download("tiny", registry=server.url)
        assert next(asked for path, asked in server.log if path.endswith(".zip")) == "bytes=150000-"
    assert version(bundles) == "0.10.0"


def test_a_wrong_beginning_is_thrown_away(registry, bundles):
    entry = newest(registry)
    for content in (b"garbage" * 20, bytes(entry.size), bytes(entry.size + 7)):
        part = registry.parent / "cache" / "archives" / f"{entry.sha256}.part"
        part.parent.mkdir(parents=True, exist_ok=True)
        part.with_suffix(".zip").unlink(missing_ok=True)
        part.write_bytes(content)
        download("tiny")
        assert version(bundles) == "0.10.0"
        remove("tiny")


def newest(folder):
    client = Client(folder.as_uri(), (folder / "metadata" / "1.root.json").read_bytes())
    return max(client.entries(), key=lambda entry: entry.version)


def stalls(handler, path):
    if path.suffix != ".zip":
        return False
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    handler.wfile.write(b"PK")
    handler.wfile.flush()
    handler.rfile.read(1)  # waits until the client leaves
    return True


def says_more(handler, path):
    if path.suffix != ".zip":
        return False
    handler.send_from(path.read_bytes(), claimed=10**12)
    return True


def says_less(handler, path):
    if path.suffix != ".zip":
        return False
    handler.send_from(path.read_bytes()[:1000])
    return True


def sends_on_and_on(handler, path):
    if path.suffix != ".zip":
        return False
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(65536))


def redirects(to):
    def misbehave(handler, path):
        if path.suffix != ".zip":
            return False
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.end_headers()
        return True

    return misbehave


def answers(code):
    def misbehave(handler, path):
        if path.suffix == ".zip":
            handler.send_error(code)
        return path.suffix == ".zip"

    return misbehave


SERVERS = {
    "stalls": (stalls, "nothing more came for 0.5 seconds"),
    "sends a shorter body": (says_less, r"\d+ bytes"),
    "never ends": (sends_on_and_on, "sends more than .* bytes"),
    "to another host": (redirects("http://127.0.0.1:9/tiny.zip"), "refused to follow the server to another host"),
    "to another scheme": (redirects("file:///etc/passwd"), "refused to follow the server to another host"),
    "to nowhere": (redirects(""), "refused to follow"),
    "in circles": (redirects("/targets/tiny_v0.10.0.zip"), "more than 5 redirects"),
    "unauthorised": (answers(401), "the server answers 401"),
    "busy for ever": (answers(503), "the server answers 503"),
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("case", SERVERS)
def test_bad_servers(case, registry, bundles, capsys):
    misbehave, message = SERVERS[case]
    download("tiny==0.9.0")
    with serving(registry, misbehave) as server, pytest.raises(InputError, match=message):
        server.handle_error = lambda *words: None
        download("tiny==0.10.0", registry=server.url)
    assert version(bundles) == "0.9.0"
    verify("tiny")


def test_a_busy_server_is_asked_again(registry, bundles):
    left = [2]

    def busy(handler, path):
        left[0] -= 1
        if left[0] >= 0:
            handler.send_error(503)
        return left[0] >= 0

    with serving(registry, busy) as server:
        download("tiny", registry=server.url)
    assert version(bundles) == "0.10.0"


def test_a_server_that_claims_a_longer_body_gets_no_more_than_was_signed(registry, bundles):
    with serving(registry, says_more) as server:
        download("tiny", registry=server.url)
    verify("tiny")
    assert version(bundles) == "0.10.0"


def test_no_server(registry):
    with serving(registry) as server:
        url = server.url
    with pytest.raises(InputError, match=r"registry http://127\.0\.0\.1:\d+: .*no connection"):
        download("tiny", registry=url)


def test_a_proxy_is_used(registry, bundles, monkeypatch):
    with serving(registry) as server:
        seen = []

        def as_proxy(handler, path):
            seen.append(handler.path)
            handler.path = handler.path.removeprefix("http://registry.example")
            handler.send_from(content) if (content := _file(registry, handler.path)) else handler.send_error(404)
            return True

        server.misbehave = as_proxy
        monkeypatch.setenv("http_proxy", server.url)
        download("tiny", registry="http://registry.example")
    assert version(bundles) == "0.10.0"
    assert all(path.startswith("http://registry.example/") for path in seen)


def _file(folder, path):
    found = folder / path.lstrip("/")
    return found.read_bytes() if found.is_file() else None
