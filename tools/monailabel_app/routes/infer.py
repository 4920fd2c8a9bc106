"""``/infer``: a request waits its turn beside the event loop; its client's end, or a cancellation, ends its work."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from requests_toolbelt import MultipartEncoder
from starlette.datastructures import UploadFile

from tools.monailabel_app.jobs import Jobs, Ticket
from tools.monailabel_app.main import RegistrationApp
from tools.monailabel_app.refused import RefusedError
from tools.monailabel_app.studies import check_image
from tools.monailabel_app.tasks import kind_of
from tools.monailabel_app.uploads import read_params, receive

router = APIRouter(tags=["infer"])
#: Seconds between two looks at whether the client is still there.
_LOOK = 0.5
_OUTPUTS = ("", "all", "image", "json")


class SentFile(FileResponse):
    """A file that goes when it was sent, or when its client has gone."""

    ticket: Ticket

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.ticket.remove()


@router.post("/infer/{model}")
async def infer(request: Request, model: str, image: str = "", session_id: str = "", output: str = "") -> Response:
    """Run a task on an image of the studies, of a session or of this request."""
    if output not in _OUTPUTS:
        raise RefusedError(400, f"output: expected one of {', '.join(_OUTPUTS[1:])}, got {output[:40]!r}")
    app: RegistrationApp = request.app.state.registration
    async with request.form(max_files=2, max_fields=8) as form:
        params = read_params(form.get("params"))
        if form.get("label"):
            raise RefusedError(400, "label: no task here takes one with the request; submit it to the datastore")
        ticket = app.jobs.enter(model)
        try:
            upload = form.get("file")
            work = _work(request, ticket, model, image, session_id, params, upload)
            answer = await _done(request, app.jobs, ticket, work)
            return _response(ticket, answer, output)
        except BaseException:
            ticket.remove()
            raise
        finally:
            app.jobs.leave(ticket)


@router.get("/queue/")
def queue(request: Request) -> list[dict[str, Any]]:
    """Every request that is worked on or waits, in order."""
    return request.app.state.registration.jobs.listed()


@router.delete("/queue/{identity}")
def cancel(request: Request, identity: str) -> dict[str, str]:
    """End a request; its own client hears 409."""
    request.app.state.registration.jobs.cancel(identity)
    return {"cancelled": identity}


def _work(
    request: Request, ticket: Ticket, model: str, image: str, session: str, params: dict[str, Any], upload: Any
) -> Callable[[], dict[str, Any]]:
    """The work of a request, to be done in a thread."""
    app: RegistrationApp = request.app.state.registration

    def work() -> dict[str, Any]:
        path: Path | None = None
        if session:
            path = request.app.state.sessions.get(session).image
        elif isinstance(upload, UploadFile):
            path = receive(upload, ticket.folder)
            check_image(path)
        elif not image:
            raise RefusedError(400, "expected the name of an image, a session or a file, got none of them")
        return app.infer_with(ticket, model, image or "of this request", params, path)

    return work


async def _done(request: Request, jobs: Jobs, ticket: Ticket, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    task = asyncio.get_running_loop().run_in_executor(request.app.state.threads, work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # also heard where nobody waits any more
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=_LOOK)
            if not task.done() and await request.is_disconnected():
                jobs.cancel(ticket.id)
    except asyncio.CancelledError:
        jobs.cancel(ticket.id)
        raise RefusedError(503, "the server is ending") from None
    return task.result()


def _response(ticket: Ticket, answer: dict[str, Any], output: str) -> Response:
    file = Path(answer["file"])
    headers = {"X-Queue-Position": str(ticket.position), "X-Queue-Seconds": str(ticket.waited)}
    if output == "json":
        ticket.remove()
        return JSONResponse(answer["params"], headers=headers)
    kind = "application/octet-stream"
    if output != "image":
        file, kind = _multipart(file, answer["params"])
    response = SentFile(file, media_type=kind, filename=Path(answer["file"]).name, headers=headers)
    response.ticket = ticket
    return response


def _multipart(file: Path, params: dict[str, Any]) -> tuple[Path, str]:
    """Parameters and file in one body, written beside the file, since a field can be large."""
    target = file.with_name("answer.multipart")
    with file.open("rb") as content:
        name = f"{file.name.partition('.')[0]}{kind_of(str(file))}"
        fields = {
            "params": (None, json.dumps(params), "application/json"),
            "image": (name, content, "application/octet-stream"),
        }
        encoder = MultipartEncoder(fields=fields)
        with target.open("wb") as body:
            while part := encoder.read(1 << 20):
                body.write(part)
    return target, encoder.content_type
