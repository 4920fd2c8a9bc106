"""Which studies belong to one subject, as their names say."""

import re
from collections.abc import Sequence

from tools.monailabel_app.refused import RefusedError

_BIDS = re.compile(r"(sub-[A-Za-z0-9]+)")


def subject_of(study: str) -> str:
    """The subject in a study's name: BIDS' entity, else what stands before the first ``_``, ``-``, ``.`` or space.

    >>> subject_of("sub-07_ses-02_T1w"), subject_of("p12_2024-05-01"), subject_of("scan")
    ('sub-07', 'p12', 'scan')
    """
    found = _BIDS.search(study)
    return found[1] if found else re.split(r"[_\-. ]", study, maxsplit=1)[0]


def earlier_study(study: str, labelled: Sequence[str]) -> str:
    """The last labelled study before this one, in the order of names, with the same subject.

    Raises:
        RefusedError: there is none.
    """
    same = sorted(name for name in labelled if name < study and subject_of(name) == subject_of(study))
    if not same:
        raise RefusedError(
            422,
            f"earlier: expected a labelled study of {subject_of(study)} before {study}, got none: choose one",
        )
    return same[-1]
