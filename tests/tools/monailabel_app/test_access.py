"""Who is let in, asked of the middleware itself: hosts, origins, the token, and the size of a request."""

import asyncio
import json
from typing import Any

import pytest

from common.errors import InputError
from tools.monailabel_app.access import LOOPBACK, Access, Guard, TooLargeError, access_for

TOKEN = "0123456789abcdef"


async def reads_all(scope: dict, receive: Any, send: Any) -> None:
    """An application that reads the body to its end and counts it."""
    count, more = 0, True
    while more:
        message = await receive()
        count, more = count + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps({"detail": str(count)}).encode()})


def ask(
    access: Access, path: str = "/info/", body: tuple[bytes, ...] = (b"",), method: str = "GET", **headers: str
) -> tuple[int, str]:
    """Status and detail of one request."""
    sent: list[dict] = []
    parts = [{"type": "http.request", "body": part, "more_body": True} for part in body]
    parts[-1]["more_body"] = False

    async def receive() -> dict:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    given = {"host": "127.0.0.1:8000", **headers}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(k.encode(), v.encode()) for k, v in given.items()],
    }
    asyncio.run(Guard(reads_all, access)(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])["detail"]


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "localhost", "[::1]:8000", "[::1]"])
def test_loopback_is_let_in(host: str):
    assert ask(Access(), host=host) == (200, "0")


@pytest.mark.parametrize(
    "host", ["elsewhere.example", "elsewhere.example:8000", "127.0.0.1.elsewhere.example", "", "[::2]:1"]
)
def test_other_names_of_this_address_are_not(host: str):
    status, detail = ask(Access(), host=host)
    assert status == 400 and "--allowed_hosts" in detail


def test_pages_are_let_in_by_their_origin():
    access = Access(origins=("https://viewer.example",))
    assert ask(access, origin="https://viewer.example")[0] == 200
    for origin in ("https://other.example", "null", "http://viewer.example"):
        status, detail = ask(access, origin=origin)
        assert status == 403 and "--allowed_origins" in detail


def test_a_browser_may_ask_first_without_the_token():
    access = Access(token=TOKEN, origins=("https://viewer.example",))
    assert ask(access, method="OPTIONS", origin="https://viewer.example")[0] == 200
    assert ask(access, method="OPTIONS")[0] == 401
    assert ask(access, method="OPTIONS", origin="https://other.example")[0] == 403


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        ("Bearer wrong", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        ("", 401),
    ],
)
def test_a_token_is_asked_for(authorization: str, status: int):
    assert ask(Access(token=TOKEN), authorization=authorization)[0] == status


def test_without_it_one_may_only_ask_for_it():
    access = Access(token=TOKEN)
    paths = {
        path: ask(access, path)[0] for path in ("/auth/", "/auth/token", "/auth/token/valid", "/info/", "/authority")
    }
    assert paths == {"/auth/": 200, "/auth/token": 200, "/auth/token/valid": 401, "/info/": 401, "/authority": 401}


def test_a_large_request_is_refused_before_it_is_read():
    status, detail = ask(Access(largest=10), **{"content-length": "11"})
    assert status == 413 and detail == "expected at most 10 bytes, got 11"


def test_a_body_that_hides_its_length_is_cut():
    assert ask(Access(largest=10), body=(b"12345", b"67890")) == (200, "10")
    with pytest.raises(TooLargeError):
        ask(Access(largest=10), body=(b"12345", b"678901"))


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_needs_no_token(host: str):
    assert access_for(host, "", (), (), 1).token == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "server.hospital.example"])
def test_elsewhere_a_token_is_made(host: str):
    first, second = access_for(host, "", ("alias",), (), 1), access_for(host, "", (), (), 1)
    assert len(first.token) >= 24 and first.token != second.token
    assert "alias" in first.hosts and (host in first.hosts) == (host != "0.0.0.0")
    assert access_for(host, TOKEN, (), (), 1).token == TOKEN


def test_a_short_token_is_refused():
    with pytest.raises(InputError, match="REGISTRATION_LABEL_TOKEN: expected at least 16 characters, got 5"):
        access_for("127.0.0.1", "short", (), (), 1)
