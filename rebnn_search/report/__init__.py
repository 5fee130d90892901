"""Tables, figures and a page, drawn from tracked runs, and from a search's folder where it is at hand."""

from rebnn_search.report.tracked import TrackedSearch
from rebnn_search.report.write import FIGURE_FORMATS, PAGE, folder_of, log_report, report_search, write_report

__all__ = ["FIGURE_FORMATS", "PAGE", "TrackedSearch", "folder_of", "log_report", "report_search", "write_report"]
