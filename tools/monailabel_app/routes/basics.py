"""``/info``, ``/auth``, ``/train``: what the server offers, who may ask, and that it does not train."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import PlainTextResponse

from tools.monailabel_app.access import Access, same_token
from tools.monailabel_app.main import RegistrationApp
from tools.monailabel_app.refused import RefusedError

router = APIRouter(tags=["app"])


@router.get("/", response_class=PlainTextResponse)
def root() -> str:
    """For people who open the address in a browser."""
    return "MONAI Label server for registration. In 3D Slicer, give this address to the MONAI Label module.\n"


@router.get("/info/")
def info(request: Request) -> dict[str, Any]:
    """Tasks, their options, how many studies there are, how many requests wait."""
    app: RegistrationApp = request.app.state.registration
    studies = app.datastore()
    with studies.lock:
        studies.refresh()
        return {**app.info(), "queue": app.jobs.listed()}


@router.get("/auth/")
def auth(request: Request) -> dict[str, Any]:
    """Whether a token is needed."""
    access: Access = request.app.state.access
    return {"enabled": bool(access.token), "client_id": "", "realm": ""}


@router.post("/auth/token")
def token(
    request: Request, password: Annotated[str, Form()] = "", username: Annotated[str, Form()] = ""
) -> dict[str, str]:
    """The token for one who has it: Slicer asks for a user name and a password and sends on what comes back."""
    access: Access = request.app.state.access
    if not access.token or not same_token(password, access.token):
        raise RefusedError(401, "expected the server's token as the password")
    return {"access_token": access.token, "token_type": "Bearer"}


@router.get("/auth/token/valid")
def valid() -> dict[str, str]:
    """Answers only those who have the token."""
    return {"username": "user"}
