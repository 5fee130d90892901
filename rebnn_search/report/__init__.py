"""Tables, figures and a page, drawn from tracked runs alone."""

from rebnn_search.report.tracked import TrackedSearch
from rebnn_search.report.write import FORMATS, PAGE, log_report, report_search, write_report

__all__ = ["FORMATS", "PAGE", "TrackedSearch", "log_report", "report_search", "write_report"]
