"""The server: MONAI Label's protocol over the application, closed to all that the routes do not name."""

import asyncio
import logging
import shutil
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from common import __version__
from common.errors import InputError
from tools.monailabel_app.access import Access, Guard, TooLargeError
from tools.monailabel_app.main import RegistrationApp
from tools.monailabel_app.refused import without_paths
from tools.monailabel_app.routes import basics, datastore, infer, sessions
from tools.monailabel_app.sessions import Sessions

logger = logging.getLogger(__name__)
#: Seconds between two looks for sessions that have ended.
_CLEANING = 60


def create_server(registration: RegistrationApp, access: Access) -> FastAPI:
    """The ASGI application.

    Args:
        registration: what does the work; its temporary folder goes when the server ends.
        access: what is let in.
    """
    server = FastAPI(
        title="Registration", version=__version__, lifespan=_lifespan, docs_url=None, redoc_url=None,
        redirect_slashes=True,
    )  # fmt: skip
    server.state.registration, server.state.access = registration, access
    server.state.sessions = Sessions(registration.temporary / "sessions")
    server.state.threads = ThreadPoolExecutor(registration.jobs.limit + 2, "request")
    for routes in (basics, infer, datastore, sessions):
        server.include_router(routes.router)
    for kind in (InputError, TooLargeError, HTTPException, RequestValidationError, OSError, Exception):
        server.add_exception_handler(kind, _told)
    server.add_middleware(
        CORSMiddleware, allow_origins=list(access.origins), allow_methods=["*"], allow_headers=["Authorization"]
    )
    server.add_middleware(Guard, access=access)
    return server


@asynccontextmanager
async def _lifespan(server: FastAPI) -> AsyncIterator[None]:
    cleaning = asyncio.create_task(_clean(server.state.sessions))
    yield
    cleaning.cancel()
    server.state.registration.jobs.worker.stop()
    server.state.threads.shutdown(wait=False, cancel_futures=True)
    shutil.rmtree(server.state.registration.temporary, ignore_errors=True)


async def _clean(sessions: Sessions) -> None:
    while True:
        await asyncio.sleep(_CLEANING)
        await asyncio.to_thread(sessions.remove_expired)


async def _told(request: Request, error: Exception) -> JSONResponse:
    """A status and one sentence for whatever went wrong."""
    status, reason = _status(error)
    if status == 500:
        number = uuid.uuid4().hex[:8]
        logger.error("error %s", number, exc_info=error)
        reason = f"{reason}; the server's log has more under {number}"
    headers = {"Retry-After": "30"} if status in (429, 503) else None
    return JSONResponse({"detail": reason}, status, headers)


def _status(error: Exception) -> tuple[int, str]:
    if isinstance(error, RequestValidationError):
        first: dict[str, Any] = error.errors()[0]
        return 422, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    if isinstance(error, HTTPException):
        return error.status_code, str(error.detail)
    if isinstance(error, TooLargeError):
        return 413, "the request carries more than this server takes"
    if isinstance(error, InputError):
        return getattr(error, "status", 422), without_paths(str(error))
    if isinstance(error, OSError) and error.errno in (28, 122):  # no room, over quota
        return 507, "no room left on the server's disk"
    return 500, "the server failed"
