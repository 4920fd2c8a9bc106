"""The application as MONAI Label wants it: a class derived from ``MONAILabelApp`` in a file of this name.

``python -m tools label`` serves it by ``server.py``. MONAI Label's own ``start_server --app`` can load it too, but that
server lacks what ``docs/label.md`` promises of this one.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask

from common import __version__
from tools.monailabel_app.atlas import find_atlases
from tools.monailabel_app.jobs import Jobs, Ticket
from tools.monailabel_app.names import checked_name
from tools.monailabel_app.options import Option
from tools.monailabel_app.pairs import PairRegistration
from tools.monailabel_app.refused import RefusedError
from tools.monailabel_app.studies import Studies
from tools.monailabel_app.tasks import AtlasSegmentation, FollowUp, kind_of
from tools.monailabel_app.worker import Worker

#: Names that clients may not bring among the parameters: they say what is worked on.
_RESERVED = ("image", "study", "model", "label", "file", "session", "ticket", "folder")
_SAVE = Option("save_label", False, "keep the result in the studies")


class RegistrationApp(MONAILabelApp):
    """Registration bundles behind MONAI Label.

    Args:
        app_dir: this folder; nothing is written into it.
        studies: folder of images.
        conf: ``atlas`` (folder of atlases), ``temporary`` (where files of requests go), ``queue`` (how many may wait),
            ``memory_gb`` and ``seconds`` (bounds of one job).
    """

    def __init__(self, app_dir: str, studies: str, conf: Mapping[str, str]) -> None:
        conf = dict(conf or {})
        settings.MONAI_LABEL_SESSIONS = False  # the server's own, in the temporary folder
        self.temporary = Path(conf.get("temporary") or tempfile.mkdtemp(prefix="registration-label-"))
        worker = Worker(int(float(conf.get("memory_gb") or 0) * 1e9), float(conf.get("seconds") or 1800))
        self.jobs = Jobs(worker, self.temporary, int(conf.get("queue") or 8))
        self.atlases = find_atlases(conf.get("atlas"))
        super().__init__(
            app_dir,
            studies,
            conf,
            "Registration",
            "Registration networks with refinement, as MONAI bundles",
            __version__,
        )

    def init_datastore(self) -> Studies:
        """The studies folder."""
        return Studies(self.studies)

    def init_infers(self) -> dict[str, InferTask]:
        """The tasks; Slicer selects the first by itself."""
        return {
            "atlas_segmentation": AtlasSegmentation(self.jobs, self._datastore, self.atlases),
            "follow_up": FollowUp(self.jobs, self._datastore),
            "registration": PairRegistration(self.jobs, self._datastore),
        }

    def infer(self, request: Mapping[str, Any], datastore: Any = None) -> dict[str, Any]:
        """Do a request in a place of the queue that it takes itself; see ``infer_with``."""
        ticket = self.jobs.enter(str(request.get("model")))
        try:
            params = {name: value for name, value in request.items() if name not in ("model", "image")}
            answer = self.infer_with(ticket, str(request.get("model")), str(request.get("image")), params)
            kept = tempfile.NamedTemporaryFile(suffix=kind_of(answer["file"]), delete=False)  # noqa: SIM115
            shutil.copyfile(answer["file"], kept.name)  # MONAI Label's server sends it and removes it
            return {**answer, "file": kept.name, "label": kept.name}
        finally:
            self.jobs.leave(ticket)
            ticket.remove()

    def infer_with(
        self, ticket: Ticket, model: str, image: str, params: Mapping[str, Any], upload: Path | None = None
    ) -> dict[str, Any]:
        """Do a request.

        Args:
            ticket: its place in the queue.
            model: the task.
            image: name of an image in the studies; what an upload is called.
            params: options of the task, ``save_label`` and ``label_tag``.
            upload: an image that is no study, found by the server itself and never by name.

        Returns:
            ``file`` in the ticket's folder, ``params`` to be told, ``label`` and ``tag`` where it was kept.

        Raises:
            RefusedError: with the status and the reason.
        """
        if model not in self._infers:
            raise RefusedError(404, f"no model {model!r}; there are {', '.join(self._infers)}")
        for name in _RESERVED:
            if name in params:
                raise RefusedError(400, f"parameter {name!r}: expected none of this name among the parameters")
        tag, kept = _tag_of(params), _SAVE.read(params.get(_SAVE.name, _SAVE.values))
        path = upload or self._datastore.image(image)
        request = {"image": str(path), "study": image, "ticket": ticket.id, "params": dict(params)}
        file, told = self._infers[model](request)
        if kept and upload is None:
            self._datastore.keep(image, tag, Path(file), kind_of(file), {"params": {"model": model, **told}})
        return {"file": file, "params": told, "tag": tag, "label": image}


def _tag_of(params: Mapping[str, Any]) -> str:
    """The tag that a result is kept under; what a person submitted is not written over."""
    tag = checked_name(params.get("label_tag") or "original", "label_tag")
    if tag == "final":
        raise RefusedError(400, "label_tag: expected another than final, which is for labels that a person submitted")
    return tag
