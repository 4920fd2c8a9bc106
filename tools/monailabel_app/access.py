"""Who may ask: hosts, origins, a token, and how much a request may carry. Pure ASGI, so that a client's end is seen."""

import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from common.errors import InputError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: Environment variable that holds the token.
TOKEN = "REGISTRATION_LABEL_TOKEN"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
#: What a client without a token may ask: whether it needs one, and for it.
_OPEN = ("/auth", "/auth/", "/auth/token")


@dataclass(frozen=True)
class Access:
    """What is let in.

    Attributes:
        token: that every request has to carry; empty for none.
        hosts: names under which the server may be called, against other sites' names that lead to this address.
        origins: web pages that may call it, such as ``https://viewer.example``; programs send none.
        largest: bytes of one request.
    """

    token: str = ""
    hosts: tuple[str, ...] = LOOPBACK
    origins: tuple[str, ...] = field(default=())
    largest: int = 2 * 10**9


def access_for(host: str, token: str, hosts: tuple[str, ...], origins: tuple[str, ...], largest: int) -> Access:
    """What a server on this address lets in: elsewhere than on loopback nobody without a token.

    Raises:
        InputError: a token that could be guessed.
    """
    if token and len(token) < 16:
        raise InputError(f"{TOKEN}: expected at least 16 characters, got {len(token)}")
    if host not in LOOPBACK:
        token = token or secrets.token_urlsafe(24)
    named = () if host in ("0.0.0.0", "::") else (host,)
    return Access(token, tuple(dict.fromkeys((*LOOPBACK, *named, *hosts))), origins, largest)


class Guard:
    """ASGI middleware that refuses what ``Access`` does not let in, before anything of the request is read."""

    def __init__(self, app: Any, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on or answer it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refused(scope["method"], scope["path"], headers)
        if refused:
            await _answer(send, *refused)
            return
        counted = _Counted(receive, self.access.largest)
        await self.app(scope, counted, send)

    def _refused(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        name = host[1 : host.find("]")] if host.startswith("[") else host.rpartition(":")[0] or host
        if name not in self.access.hosts:
            return 400, "this server is not known under that host name; see --allowed_hosts"
        origin = headers.get("origin")
        if origin is not None and origin not in self.access.origins:
            return 403, "pages of this origin may not use the server; see --allowed_origins"
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self.access.largest:
            return 413, f"expected at most {self.access.largest} bytes, got {length}"
        asks_first = method == "OPTIONS" and origin is not None  # a browser does, and sends no token with it
        if self.access.token and path not in _OPEN and not asks_first:
            kind, _, sent = headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or not same_token(sent, self.access.token):
                return 401, "expected the server's token: log in with any user name and the token as the password"
        return None


def same_token(sent: str, token: str) -> bool:
    """Whether a token is the right one, in the same time for all that are not."""
    return hmac.compare_digest(sent.encode("utf-8", "replace"), token.encode("utf-8"))


class TooLargeError(Exception):
    """A body went on beyond the limit without saying so first."""


class _Counted:
    """A request's body, up to a limit."""

    def __init__(self, receive: Receive, largest: int) -> None:
        self.receive, self.left = receive, largest

    async def __call__(self) -> MutableMapping[str, Any]:
        message = await self.receive()
        self.left -= len(message.get("body", b""))
        if self.left < 0:
            raise TooLargeError
        return message


async def _answer(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
