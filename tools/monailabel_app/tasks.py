"""The tasks that MONAI Label offers its clients: their names, their options, and the work that they ask for."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from tools.monailabel_app.atlas import SAMPLE_NAME, Atlas, read_label_map
from tools.monailabel_app.fusion import METHODS
from tools.monailabel_app.jobs import Jobs
from tools.monailabel_app.options import Option, overrides_of, read_options, registration_options
from tools.monailabel_app.refused import RefusedError
from tools.monailabel_app.relabel import names_of_label
from tools.monailabel_app.studies import Studies
from tools.monailabel_app.subjects import earlier_study

#: The drop-down's word for all atlases at once.
ALL = "all, fused"
AUTOMATIC = "automatic"
DOUBTFUL = Option("keep_doubtful", False, "also give labels where both images have nothing in common")


class RegistrationTask(InferTask):
    """What the tasks share: options, a place in the queue, and the answer's form.

    Args:
        jobs: the queue in front of the worker.
        studies: the datastore.
        kind: ``segmentation`` is what Slicer's selector shows.
        description: one line, Slicer's tool tip.
    """

    def __init__(self, jobs: Jobs, studies: Studies, kind: InferType, description: str) -> None:
        super().__init__(kind, {}, 3, description)
        self.jobs, self.studies = jobs, studies

    def is_valid(self) -> bool:
        """Whether it can be offered."""
        return True

    def options(self) -> tuple[Option, ...]:
        """The options as they are now: images come and go."""
        return registration_options()

    def config(self) -> dict[str, Any]:
        """The options as Slicer shows them."""
        return {option.name: option.config for option in self.options()}

    def info(self) -> dict[str, Any]:
        """What ``info`` says of the task, with a line of help for each option."""
        return {**super().info(), "help": {option.name: option.help for option in self.options()}}

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Do what a request asks for.

        Args:
            request: ``image`` (path), ``study`` (its name), ``ticket`` (number of its place in the queue), ``params``.

        Returns:
            The result's file, in the ticket's folder, and what is told with it.

        Raises:
            RefusedError: see ``Jobs.run``, and for options that cannot be used.
        """
        params = request["params"]
        values = read_options(self.options(), params)
        ticket = self.jobs.find(request["ticket"])
        name, arguments, names = self.work(request, values)
        shared = {"folder": str(ticket.folder), "bundle": values["bundle"], "overrides": overrides_of(values)}
        names = {request["image"]: f"study {request['study']}", **names}
        done = self.jobs.run(ticket, name, {**arguments, **shared}, names)
        told = {
            "label_names": done.get("label_names", {}),
            "options": values,
            "similarity": done.get("metrics") or done["atlases"],
            "warnings": done["warnings"],
            "queue": {"position": ticket.position, "waited_seconds": ticket.waited},
        }
        return done["file"], told

    @abstractmethod
    def work(self, request: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, str]]:
        """Name of the work, its own arguments, and what a client calls the paths among them."""


class Segmentation(RegistrationTask):
    """A task whose answer is a label map."""

    def common(self, request: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        """What such tasks share: the study, the kind of file (Slicer asks for ``.nrrd``), what to do in doubt."""
        suffix = ".nrrd" if request["params"].get("result_extension") == ".nrrd" else ".nii.gz"
        return {"study": request["image"], "suffix": suffix, "keep_doubtful": values["keep_doubtful"]}


class AtlasSegmentation(Segmentation):
    """Labels of one atlas, or of all of them fused, brought onto a study."""

    def __init__(self, jobs: Jobs, studies: Studies, atlases: Mapping[str, Atlas]) -> None:
        super().__init__(jobs, studies, InferType.SEGMENTATION, "Labels of an atlas, registered to this image")
        self.atlases = atlases
        first = next(iter(atlases.values()))
        self.labels = {name: number for number, name in enumerate(first.names.values(), start=1)}

    def options(self) -> tuple[Option, ...]:
        """An atlas and, where there are several, how they become one answer."""
        names = (*self.atlases, *([ALL] if len(self.atlases) > 2 else []))
        return (
            Option("atlas", names, "whose labels; all of them are registered one by one and fused"),
            Option("fusion", METHODS, "how several atlases become one answer"),
            *registration_options(),
            DOUBTFUL,
        )

    def work(self, request: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, str]]:
        """See ``work.segment``."""
        names = [name for name in self.atlases if name != SAMPLE_NAME] if values["atlas"] == ALL else [values["atlas"]]
        used = [self.atlases[name] for name in names]
        given = [atlas.plain() for atlas in used]
        arguments = {"atlases": given, "fusion": values["fusion"], **self.common(request, values)}
        return "segment", arguments, {str(path): f"atlas {a.name}" for a in used for path in (a.image, a.labels)}


class FollowUp(Segmentation):
    """A patient's earlier label, brought onto a later study."""

    def __init__(self, jobs: Jobs, studies: Studies) -> None:
        super().__init__(
            jobs, studies, InferType.SEGMENTATION, "The same patient's earlier label, registered to this image"
        )

    def options(self) -> tuple[Option, ...]:
        """The earlier study and which of its labels."""
        labelled = self.studies.labelled()
        tags = sorted({tag for _, tag in labelled}, key=lambda tag: (tag != "final", tag != "original", tag))
        return (
            Option("earlier", (AUTOMATIC, *dict.fromkeys(name for name, _ in labelled)),
                   "the labelled study; automatic: the last one before this with the same subject in its name"),
            Option("tag", tuple(tags) or ("final",), "which of its labels; final is what was submitted"),
            *registration_options(),
            DOUBTFUL,
        )  # fmt: skip

    def work(self, request: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, str]]:
        """See ``work.segment``: the earlier study is the atlas."""
        earlier, tag = values["earlier"], values["tag"]
        if earlier == AUTOMATIC:
            known = [name for name, found in self.studies.labelled() if found == tag]
            earlier = earlier_study(request["study"], known)
        if earlier == request["study"]:
            raise RefusedError(400, "earlier: expected another study than the one to be segmented")
        image, label = self.studies.image(earlier), self.studies.label(earlier, tag)
        stored = self.studies.get_label_info(earlier, tag)
        values_there = [int(v) for v in np.unique(read_label_map(label).voxels) if v]
        stored = stored.get("params", stored) if isinstance(stored.get("params", stored), Mapping) else {}
        names = names_of_label(stored, values_there)
        given = [Atlas(earlier, image, label, names).plain()]
        arguments = {"atlases": given, "fusion": "best", **self.common(request, values)}
        return "segment", arguments, {str(image): f"study {earlier}", str(label): f"label {tag} of {earlier}"}


def kind_of(file: str) -> str:
    """The suffix of a result's file, both parts of ``.nii.gz``."""
    return "".join(Path(file).suffixes[-2:]) if file.endswith(".gz") else Path(file).suffix
