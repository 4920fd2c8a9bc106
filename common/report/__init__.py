"""What a person looks at: the report of a registration, one picture of it, a thumbnail."""

from common.report.handler import ReportWriter
from common.report.page import PAGE, write_report
from common.report.picture import draw_registration, overview, thumbnail
from common.report.result import Result, read_result
from common.report.words import Flag, flags

__all__ = [
    "PAGE",
    "Flag",
    "ReportWriter",
    "Result",
    "draw_registration",
    "flags",
    "overview",
    "read_result",
    "thumbnail",
    "write_report",
]
