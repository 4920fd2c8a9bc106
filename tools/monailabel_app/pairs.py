"""Registration of two images of the datastore, as a task of MONAI Label."""

from collections.abc import Mapping
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferType

from tools.monailabel_app.jobs import Jobs
from tools.monailabel_app.options import Option, registration_options
from tools.monailabel_app.refused import RefusedError
from tools.monailabel_app.studies import Studies
from tools.monailabel_app.tasks import RegistrationTask
from tools.monailabel_app.work import RESULTS

#: The drop-down's word for no label.
NONE = "none"


class PairRegistration(RegistrationTask):
    """The study is the fixed image; the moving one is another of the datastore."""

    def __init__(self, jobs: Jobs, studies: Studies) -> None:
        super().__init__(jobs, studies, InferType.OTHERS, "Registers another image of the datastore to this one")

    def options(self) -> tuple[Option, ...]:
        """The moving image, what comes back, and a label to be brought along."""
        labelled = self.studies.labelled()
        with self.studies.lock:
            images = tuple(sorted(self.studies.list_images()))
        return (
            Option("moving", images, "the image that is registered to this one"),
            Option("result", tuple(RESULTS), "what comes back; all: a zip of every file"),
            Option(
                "moving_tag", (NONE, *sorted({tag for _, tag in labelled})), "the moving image's label to bring along"
            ),
            *registration_options(),
        )

    def work(self, request: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, str]]:
        """See ``work.register_images``."""
        moving, tag = values["moving"], values["moving_tag"]
        if moving == request["study"]:
            raise RefusedError(400, "moving: expected another image than the fixed one")
        if values["result"] == "moved labels" and tag == NONE:
            raise RefusedError(400, "moving_tag: expected the tag of a label, because the result is moved labels")
        image = self.studies.image(moving)
        label = str(self.studies.label(moving, tag)) if tag != NONE else ""
        arguments = {"fixed": request["image"], "moving": str(image), "result": values["result"], "label": label}
        return (
            "register",
            arguments,
            {str(image): f"image {moving}"} | ({label: f"label {tag} of {moving}"} if label else {}),
        )
