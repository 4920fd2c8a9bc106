"""What ``train_all`` changes in synth.json."""

from pathlib import Path
from typing import Any

from common.errors import InputError
from common.training.teacher_fields import TeacherFields

#: Acquired scans' defects, every contrast on both sides, a rate that falls to nothing by the end of the time.
RECIPE: dict[str, Any] = {
    "contrasts": {
        "t1-t1": 0.25,
        "t1-ct": 0.25,
        "ct-t1": 0.05,
        "t1-random": 0.1,
        "like_t2-t1": 0.1,
        "t1-like_t2": 0.05,
        "like_pd-t1": 0.05,
        "like_flair-t1": 0.05,
        "random-random": 0.1,
    },
    "acquisition": 0.3,
    "rate_power": 0.9,
    "warmup_steps": 20,
    "epochs": 100_000,  # the time ends the run
    "epoch_length": 25,
    "val_interval": 4,
    "same_person": 0.1,
}
#: Besides, where a teacher has fields.
TAUGHT: dict[str, Any] = {"pairing": "taught", "field_weight": 1.0}


def options_of(datalist: Path, teacher_fields: str, device: str, threads: int, **options: Any) -> dict[str, Any]:
    """The keys of train.json that a run gets; ``options`` win.

    Raises:
        InputError: ``teacher_fields`` is no folder of fields.
    """
    taught: dict[str, Any] = {}
    if teacher_fields:
        folder = str(Path(teacher_fields).expanduser().absolute())
        if not TeacherFields(folder).files:
            raise InputError(f"{folder}: expected fields, found none")
        taught = {**TAUGHT, "teacher_fields": folder}
    given = {"datalist": str(Path(datalist).expanduser().absolute()), "device": device, "threads": threads}
    if options.get("initial"):
        options["initial"] = str(Path(options["initial"]).expanduser().absolute())
    return {**RECIPE, **taught, **given, **options}
