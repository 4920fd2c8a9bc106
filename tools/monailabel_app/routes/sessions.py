"""``/session``: an image for a while."""

from typing import Annotated, Any

from fastapi import APIRouter, File, Request, UploadFile
from fastapi.responses import FileResponse, Response

from tools.monailabel_app.refused import RefusedError
from tools.monailabel_app.studies import check_image
from tools.monailabel_app.uploads import passing_folder, receive, receive_series

router = APIRouter(tags=["session"])


@router.put("/session/")
def create(
    request: Request, files: Annotated[list[UploadFile], File()], uncompress: bool = False, expiry: int = 0
) -> dict[str, Any]:
    """Upload an image, or the files of one DICOM series."""
    if uncompress:
        raise RefusedError(
            400, "uncompress: expected false; send the files of a series themselves, archives are not opened"
        )
    with passing_folder(request.app.state.registration.temporary) as folder:
        found = [receive(files[0], folder)] if len(files) == 1 else receive_series(files, folder)
        check_image(found[0] if len(found) == 1 else folder)
        session = request.app.state.sessions.add(found, expiry)
    return {"session_id": session.id, "session_info": session.as_dict()}


@router.get("/session/{session_id}")
def get(request: Request, session_id: str, image: bool = False) -> Any:
    """What is known of a session, or its image."""
    session = request.app.state.sessions.get(session_id)
    if not image:
        return session.as_dict()
    if session.image.is_dir():
        raise RefusedError(400, "image: a session of a DICOM series is not one file")
    return FileResponse(session.image, media_type="application/octet-stream", filename=session.image.name)


@router.delete("/session/{session_id}")
def remove(request: Request, session_id: str) -> Response:
    """End a session."""
    return request.app.state.sessions.remove(session_id).as_dict()
