"""Bytes from a server or a folder: bounded, resumed where they broke off, through proxies, never from another host."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass, url2pathname

import urllib3
from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError, SlowRetrievalError
from tuf.ngclient.fetcher import FetcherInterface

_CHUNK = 1 << 16
_REDIRECTS, _MAX_REDIRECTS = (301, 302, 303, 307, 308), 5
_BUSY = (408, 425, 429, 500, 502, 503, 504)
Progress = Callable[[int], None]


class SentElsewhereError(DownloadError):
    """The server answers with an address of another host."""


class Fetcher(FetcherInterface):
    """Reads addresses of http, https and file.

    Args:
        timeout: seconds to wait for the server's first or next byte.
        tries: how often to begin again without having got a single further byte.
        pause: seconds before the second try; doubled before each further one.
        slowest: bytes a second below which a server counts as stalled, after ``grace`` seconds.
        grace: see ``slowest``.
    """

    def __init__(
        self, timeout: float = 20, tries: int = 4, pause: float = 0.5, slowest: float = 500, grace: float = 60
    ) -> None:
        self.timeout, self.tries, self.pause = timeout, tries, pause
        self.slowest, self.grace = slowest, grace

    def _fetch(self, url: str) -> Iterator[bytes]:
        """Yield a small file; tuf counts the bytes and checks them. Broken off early, it is asked for again."""
        for attempt in range(self.tries):
            began = False
            try:
                for chunk in self._read(url, 0):
                    began = True
                    yield chunk
                return
            except DownloadError as error:
                if began or attempt + 1 == self.tries or not _may_pass(error):
                    raise
                time.sleep(self.pause * 2**attempt)

    def describe(self, url: str) -> tuple[int, str]:
        """Ask how large a file is, and for what tells it from another one at the same address.

        Args:
            url: http or https.

        Returns:
            Its bytes, and its ETag or date; empty where the server says neither.

        Raises:
            DownloadError: there is no such file, or the server does not say its size.
        """
        response = self._open(url, 0)
        response.close()
        length = response.headers.get("Content-Length", "")
        if not length.isdigit():
            raise DownloadError(f"{url}: expected a server that says the file's size: fetch it and name the file")
        return int(length), response.headers.get("ETag") or response.headers.get("Last-Modified") or ""

    def save(self, url: str, path: Path, size: int, progress: Progress = lambda count: None) -> None:
        """Write an address's content to a file, continuing what is there already.

        Args:
            url: http, https or file.
            path: the file; what it holds counts as the beginning.
            size: how many bytes there have to be.
            progress: called with the number of bytes after each piece that arrived.

        Raises:
            DownloadError: the server sends more or less, is too slow, or sends to another host.
        """
        failures = 0
        while (have := _size(path)) != size:
            if have > size:
                path.unlink()
                continue
            error = self._append(url, path, have, size, progress)
            if _size(path) == size:
                return
            failures = 0 if _size(path) > have else failures + 1
            if failures >= self.tries or not _may_pass(error):
                raise error
            time.sleep(self.pause * 2 ** max(failures - 1, 0))

    def _append(self, url: str, path: Path, have: int, size: int, progress: Progress) -> DownloadError:
        """One attempt; returns why it ended."""
        with path.open("ab") as file:
            try:
                for chunk in self._read(url, have, restart=lambda: file.truncate(0)):
                    if file.seek(0, 2) + len(chunk) > size:
                        file.truncate(0)
                        raise DownloadLengthMismatchError(f"{url}: the server sends more than {size} bytes")
                    file.write(chunk)
                    progress(len(chunk))
            except DownloadError as error:
                return error
        return DownloadError(f"{url}: expected {size} bytes, the server sends {_size(path)}")

    def _read(self, url: str, offset: int, restart: Callable[[], object] = lambda: None) -> Iterator[bytes]:
        """One attempt to read from ``offset`` on; ``restart`` is called where the server begins at 0 all the same."""
        if urlsplit(url).scheme == "file":
            yield from _read_file(url, offset)
            return
        response = self._open(url, offset)
        try:
            if offset and response.status != 206:
                restart()
            yield from self._body(url, response)
        finally:
            response.close()

    def _body(self, url: str, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        start, received = time.monotonic(), 0
        try:
            while chunk := response.read1(_CHUNK):  # what has arrived: a connection that breaks loses nothing
                received += len(chunk)
                yield chunk
                if time.monotonic() - start > self.grace + received / self.slowest:
                    raise SlowRetrievalError(f"{url}: slower than {self.slowest:.0f} bytes a second")
        except urllib3.exceptions.TimeoutError as error:
            raise SlowRetrievalError(f"{url}: nothing more came for {self.timeout:g} seconds") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise DownloadError(f"{url}: the connection broke off: {error}") from error

    def _open(self, url: str, offset: int) -> urllib3.BaseHTTPResponse:
        headers = {"Accept-Encoding": "identity", "User-Agent": "registration-bundles"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        address = url
        for _ in range(_MAX_REDIRECTS):
            response = self._request(address, headers)
            if response.status in _REDIRECTS:
                response.close()
                address = _same_host(address, response.headers.get("Location", ""))
                continue
            if response.status == 416:  # what is there is no beginning of what the server has
                response.close()
                headers.pop("Range", None)
                continue
            if response.status not in (200, 206):
                response.close()
                raise DownloadHTTPError(f"{url}: the server answers {response.status}", response.status)
            return response
        raise DownloadError(f"{url}: more than {_MAX_REDIRECTS} redirects")

    def _request(self, url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        try:
            return _pool(url).request(
                "GET",
                url,
                headers=headers,
                preload_content=False,
                redirect=False,
                retries=False,
                timeout=urllib3.Timeout(self.timeout),
            )
        except urllib3.exceptions.NewConnectionError as error:
            raise DownloadError(f"{url}: no connection: {error}") from error
        except urllib3.exceptions.TimeoutError as error:
            raise SlowRetrievalError(f"{url}: no answer within {self.timeout:g} seconds") from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise DownloadError(f"{url}: no connection: {error}") from error


def _pool(url: str) -> urllib3.PoolManager:
    """A pool of connections, through the proxy that the environment names for this address (http_proxy, no_proxy)."""
    parts = urlsplit(url)
    proxy = None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
    if not proxy:
        return urllib3.PoolManager()
    named = urlsplit(proxy)
    login = f"{unquote(named.username)}:{unquote(named.password or '')}" if named.username else None
    return urllib3.ProxyManager(proxy, proxy_headers=urllib3.make_headers(proxy_basic_auth=login) if login else None)


def _same_host(url: str, location: str) -> str:
    target = urljoin(url, location)
    if urlsplit(target)[:2] != urlsplit(url)[:2] or not location:
        host = urlsplit(target).netloc or "nowhere"
        raise SentElsewhereError(f"{url}: refused to follow the server to another host, {host}")
    return target


def _read_file(url: str, offset: int) -> Iterator[bytes]:
    path = Path(url2pathname(urlsplit(url).path))
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while chunk := file.read(_CHUNK):
                yield chunk
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DownloadHTTPError(f"{path}: no such file", 404) from error
    except OSError as error:
        raise DownloadError(f"{path}: cannot be read: {error.strerror}") from error


def _may_pass(error: DownloadError) -> bool:
    """Whether the same request may work a moment later."""
    if isinstance(error, DownloadHTTPError):
        return error.status_code in _BUSY
    return not isinstance(error, (DownloadLengthMismatchError, SentElsewhereError))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
