"""Evaluation of registrations: one pair, a whole list, and the tables that come of it."""

from common.evaluation.lists import read_landmarks, read_pairs, read_structures
from common.evaluation.protocol import protocol
from common.evaluation.scores import evaluate_pair
from common.evaluation.tables import write_evaluation
from common.evaluation.workflow import EvaluationReport, ScorePaird

__all__ = [
    "EvaluationReport",
    "ScorePaird",
    "evaluate_pair",
    "protocol",
    "read_landmarks",
    "read_pairs",
    "read_structures",
    "write_evaluation",
]
