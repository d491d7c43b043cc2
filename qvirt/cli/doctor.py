"""qvirt doctor"""

from __future__ import annotations

import typer

from qvirt.cli import options as option
from qvirt.cli import output


def doctor(format: option.FormatOption = option.OutputFormat.TABLE) -> None:
    """Check what qvirt needs and can use; exit status 1 if there is a problem, 0 if only warnings."""
    from qvirt import paths
    from qvirt.cli import checks, render_hardware
    from qvirt.probe import probe

    home = paths.Paths(paths.default_home())
    found = checks.all_checks(probe(bandwidth_cache=home.bandwidth), home)
    problems, warnings = (sum(check.status is status for check in found) for status in checks.NOT_OK)
    if format is option.OutputFormat.JSON:
        output.document("qvirt.doctor/1", checks=found, problems=problems, warnings=warnings)
    elif format is option.OutputFormat.CSV:
        output.result(render_hardware.checks_csv(found))
    else:
        output.result(render_hardware.checks_text(found))
    if problems:
        raise typer.Exit(1)
