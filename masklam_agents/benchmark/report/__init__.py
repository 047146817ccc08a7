"""The report: one HTML page that needs nothing else, and the same numbers for other programs.

* :func:`write_report` - from results to a folder.
"""

from masklam_agents.benchmark.report.write import write_report

__all__ = ["write_report"]
