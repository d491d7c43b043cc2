"""The command `qvirt`: its subcommands, and how every failure ends."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated, Any

import typer

from qvirt.cli import doctor, draw, image, job, output, plan, probe, run, state, template, version, vm
from qvirt.cli.bench import bench
from qvirt.errors import Cancelled, QvirtError, UsageError

EPILOG = (
    "Exit status: 0 done; 1 a circuit or an engine failed; 2 wrong usage; 3 does not fit; "
    "4 cancelled or timed out; 5 no such thing, or not in its present state; 6 a VM failed or "
    "something is not available; 7 the state directory cannot be written."
)

app = typer.Typer(
    name="qvirt",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EPILOG,
    help="Quantum virtual machines: run circuits with the right method, within limits, stoppable.",
)
app.command()(run.run)
app.command()(plan.plan)
app.command()(probe.probe)
app.command()(doctor.doctor)
app.command()(bench)
app.command()(draw.draw)
app.add_typer(job.app, name="job")
app.add_typer(vm.app, name="vm")
app.add_typer(state.app, name="state")
app.add_typer(template.app, name="template")
app.add_typer(image.app, name="image")
app.command()(version.version)
app.command()(version.completion)


@app.callback()
def _global(
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=version.show),
    ] = False,
) -> None:
    pass


INTERRUPTED = 130
"""What some versions of typer make of Ctrl-C."""

# typer carried click as a dependency and later as a part of itself: the class is found from its child.
_ClickException = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def main() -> None:
    """Run the command line and exit with the documented status; no failure shows a traceback.

    A polite kill and a closed terminal are Ctrl-C: what runs is stopped and recorded first.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:  # by nohup
            continue
        signal.signal(number, signal.default_int_handler)
    status = _status()
    sys.exit(_stopped() if status == INTERRUPTED else status)


def _stopped() -> int:
    output.note("qvirt: stopped")
    return Cancelled.exit_status


def _status() -> int:
    try:
        return app(standalone_mode=False) or 0
    except QvirtError as error:
        output.error(error)
        return error.exit_status
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _stopped()
    except BrokenPipeError:
        # Whoever read our output has enough; keep Python from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if isinstance(error, _ClickException):
            return _misused(error)
        if os.environ.get("QVIRT_DEBUG"):
            raise
        output.error(
            QvirtError(
                f"internal error: {type(error).__name__}: {error}",
                hint="this is a bug in qvirt; QVIRT_DEBUG=1 shows where",
            )
        )
        return 1


def _misused(error: Any) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
        output.note(error.format_message())
    else:
        command = error.ctx.command_path if getattr(error, "ctx", None) else "qvirt"
        output.error(UsageError(error.format_message(), hint=f"`{command} --help` shows what there is"))
    return UsageError.exit_status
