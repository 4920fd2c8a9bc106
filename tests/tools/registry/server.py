"""A web server on loopback that serves a folder, well or badly."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class Handler(SimpleHTTPRequestHandler):
    """Serves files with ranges; ``misbehave(self, path)`` answers instead where it returns True."""

    misbehave: Callable[["Handler", Path], bool] = staticmethod(lambda handler, path: False)
    log: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        path = Path(self.directory, unquote(self.path.split("?")[0]).lstrip("/"))
        self.server.log.append((self.path, self.headers.get("Range")))  # type: ignore[attr-defined]
        if self.server.misbehave(self, path):  # type: ignore[attr-defined]
            return
        if not path.is_file():
            self.send_error(404)
            return
        self.send_from(path.read_bytes())

    def send_from(self, content: bytes, claimed: int | None = None) -> None:
        """Answer with the content, from the byte asked for on; ``claimed`` is the length that the header says."""
        start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        if start >= len(content) > 0:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start if claimed is None else claimed))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.end_headers()
        self.wfile.write(content[start:])

    def log_message(self, *words: object) -> None:
        pass


@contextmanager
def serving(folder: Path, misbehave: Callable[[Handler, Path], bool] | None = None) -> Iterator[ThreadingHTTPServer]:
    """Serve a folder; ``server.url`` is its address and ``server.log`` what was asked for: (path, Range)."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.daemon_threads = True
    server.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    server.log = []  # type: ignore[attr-defined]
    server.misbehave = misbehave or (lambda handler, path: False)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
