"""Start the application and listen."""

import logging
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import uvicorn

from common.errors import InputError
from tools.monailabel_app.access import Access
from tools.monailabel_app.main import RegistrationApp
from tools.monailabel_app.server import create_server

#: Connections at a time; more are told 503.
_CONNECTIONS = 100
#: Seconds that answers on their way get when the server is told to end.
_PATIENCE = 3


class Bounds(NamedTuple):
    """How many requests may wait, and what one registration may take."""

    queue: int = 8
    memory_gb: float = 0.0
    seconds: float = 1800.0


def serve(
    studies: Path, atlas: str, host: str, port: int, access: Access, bounds: Bounds, temporary: Path,
    files: tuple[str, str] = ("", ""),
) -> None:  # fmt: skip
    """Serve until a signal comes.

    Args:
        studies: folder of images.
        atlas: folder of atlases, or nothing.
        host: address.
        port: 0 for a free one; the address is printed.
        access: what is let in.
        bounds: of the queue and of one job.
        temporary: for all files of requests; uploads on their way, too.
        files: certificate and key, or nothing.

    Raises:
        InputError: a folder or the address cannot be used.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # where uvicorn hands it on, what was opened is closed
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    tempfile.tempdir = str(temporary)
    conf = {"atlas": atlas, "temporary": str(temporary)}
    conf |= {name: str(value) for name, value in bounds._asdict().items()}
    app = RegistrationApp(str(Path(__file__).parent), str(studies.expanduser().resolve()), conf)
    listening = _listen(host, port)
    address = f"http{'s' if files[0] else ''}://{host}:{listening.getsockname()[1]}"
    print(f"serving {app.datastore().status()['total']} studies at {address}", flush=True)
    config = uvicorn.Config(
        create_server(app, access), log_level="warning", limit_concurrency=_CONNECTIONS, server_header=False,
        timeout_graceful_shutdown=_PATIENCE,
        ssl_certfile=files[0] or None, ssl_keyfile=files[1] or None,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_CONNECTIONS)  # who calls before the server has started waits
    except OSError as error:
        listening.close()
        raise InputError(f"expected to listen on {host}:{port}, got: {error.strerror or error}") from error
    return listening
