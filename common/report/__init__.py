"""Pictures of results."""

from common.report.picture import draw_registration

__all__ = ["draw_registration"]
