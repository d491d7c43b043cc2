"""qvirt probe"""

from __future__ import annotations

from qvirt.cli import options as option
from qvirt.cli import output


def probe(format: option.FormatOption = option.OutputFormat.TABLE) -> None:
    """Show what this machine is, what of it can be used, and the largest circuits that fit."""
    from qvirt import paths
    from qvirt.cli import render_hardware
    from qvirt.probe import probe as look
    from qvirt.probe.fits import largest

    hardware = look(bandwidth_cache=paths.Paths(paths.default_home()).bandwidth)
    fits = largest(hardware.usable.memory_available)
    if format is option.OutputFormat.JSON:
        output.document("qvirt.probe/1", hardware=hardware, largest=fits)
    elif format is option.OutputFormat.CSV:
        output.result(render_hardware.hardware_csv(hardware, fits))
    else:
        output.result(render_hardware.hardware_text(hardware, fits))
