"""``/datastore`` and ``/activelearning``: images and labels of the studies folder, by their names."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import FileResponse, Response

from tools.monailabel_app.jobs import Ticket
from tools.monailabel_app.main import RegistrationApp
from tools.monailabel_app.refused import RefusedError
from tools.monailabel_app.routes.infer import SentFile
from tools.monailabel_app.studies import Studies
from tools.monailabel_app.uploads import passing_folder, read_params, receive

router = APIRouter(tags=["datastore"])


def _studies(request: Request) -> Studies:
    return request.app.state.registration.datastore()


@router.get("/datastore/")
def datastore(request: Request, output: str = "stats") -> Any:
    """Images and labels: ``stats`` counts them, ``all`` names them."""
    if output not in ("stats", "all"):
        raise RefusedError(400, f"output: expected stats or all, got {output[:40]!r}")
    studies = _studies(request)
    with studies.lock:
        listing = studies.listing()
        return listing if output == "all" else studies.status()


@router.put("/datastore/")
def put_image(
    request: Request, file: Annotated[UploadFile, File()], image: str = "", params: Annotated[str, Form()] = "{}"
) -> dict[str, str]:
    """Take an image into the studies."""
    with passing_folder(request.app.state.registration.temporary) as folder:
        info = read_params(params)
        return {"image": _studies(request).put_image(image, receive(file, folder), info)}


@router.api_route("/datastore/image", methods=["GET", "HEAD"])
def image(request: Request, image: str) -> Response:
    """An image as a file; a DICOM series comes as NIfTI."""
    app: RegistrationApp = request.app.state.registration
    found = _studies(request).image(image)
    if not found.is_dir():
        return FileResponse(found, media_type="application/octet-stream", filename=found.name)
    ticket = Ticket("download", app.temporary, 0)
    try:
        file = _studies(request).nifti(image, ticket.folder)
        response = SentFile(file, media_type="application/octet-stream", filename=file.name)
    except BaseException:
        ticket.remove()
        raise
    response.ticket = ticket
    return response


@router.get("/datastore/image/info")
def image_info(request: Request, image: str) -> dict[str, Any]:
    """What is known of an image."""
    _studies(request).image(image)
    return _described(_studies(request), image)


@router.put("/datastore/label")
def put_label(
    request: Request,
    image: str,
    label: Annotated[UploadFile, File()],
    tag: str = "final",
    params: Annotated[str, Form()] = "{}",
) -> dict[str, str]:
    """Take a label of an image into the studies."""
    with passing_folder(request.app.state.registration.temporary) as folder:
        info = read_params(params)
        identity = _studies(request).put_label(image, tag or "final", receive(label, folder), info)
        return {"image": image, "label": identity}


@router.api_route("/datastore/label", methods=["GET", "HEAD"])
def label(request: Request, label: str, tag: str) -> Response:
    """A label as a file."""
    found: Path = _studies(request).label(label, tag)
    return FileResponse(found, media_type="application/octet-stream", filename=found.name)


@router.get("/datastore/label/info")
def label_info(request: Request, label: str, tag: str) -> dict[str, Any]:
    """What is known of a label."""
    _studies(request).label(label, tag)
    return _studies(request).get_label_info(label, tag)


@router.post("/activelearning/{strategy}")
def next_sample(request: Request, strategy: str) -> dict[str, Any]:
    """An image that has no submitted label yet, or nothing."""
    app: RegistrationApp = request.app.state.registration
    studies = _studies(request)
    if strategy not in app._strategies:
        raise RefusedError(404, f"no strategy {strategy[:40]!r}; there are {', '.join(app._strategies)}")
    with studies.lock:
        studies.refresh()
        found = app._strategies[strategy]({"strategy": strategy}, studies)
    return {**found, **_described(studies, found["id"])} if found and found.get("id") else {}


def _described(studies: Studies, image: str) -> dict[str, Any]:
    """Facts of an image without its place on the server; ``name`` is what Slicer calls the file that it fetches."""
    info = {name: value for name, value in studies.get_image_info(image).items() if name != "path"}
    found = studies.image(image)
    return {**info, "name": f"{image}.nii.gz" if found.is_dir() else found.name}
