"""qvirt job: list, show, result, checkpoint, cancel, rm"""

from __future__ import annotations

from typing import Annotated

import typer

from qvirt.cli import options as option
from qvirt.cli import output
from qvirt.cli.failures import Failures

app = typer.Typer(no_args_is_help=True, help="Jobs: every run is one, and its result stays.")


JobArgument = Annotated[
    str,
    typer.Argument(metavar="JOB", help="A job's id, or its beginning.", autocompletion=option.complete_job),
]
JobsArgument = Annotated[
    list[str],
    typer.Argument(metavar="JOB", help="Jobs' ids, or their beginnings.", autocompletion=option.complete_job),
]


@app.command("list")
def list_jobs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="The newest so many.")] = 20,
    format: option.FormatOption = option.OutputFormat.TABLE,
) -> None:
    """List jobs, the newest first."""
    from qvirt.cli.render_job import jobs_text
    from qvirt.cli.session import opened_host

    with opened_host() as host:
        jobs = host.jobs(limit)
    if format is option.OutputFormat.JSON:
        output.document("qvirt.jobs/1", jobs=jobs)
    else:
        output.result(jobs_text(jobs, format))


@app.command()
def show(job: JobArgument, format: option.FormatOption = option.OutputFormat.TABLE) -> None:
    """Show a job: what was asked, its state, how far it is, its checkpoint and its history."""
    from qvirt.cli.render_job import job_text
    from qvirt.cli.session import opened_host

    with opened_host() as host:
        found = host.job(job)
        events = host.events(found)
        progress, checkpoint = host.progress(found), host.checkpoints.find(found)
    if format is option.OutputFormat.JSON:
        output.document("qvirt.job/1", job=found, events=events, progress=progress, checkpoint=checkpoint)
    else:
        output.result(job_text(found, events, progress, checkpoint, format))


@app.command()
def result(
    job: JobArgument,
    top: Annotated[int, typer.Option(min=1, help="Show this many of the commonest outcomes.")] = 20,
    every_outcome: Annotated[bool, typer.Option("--all", help="Show every outcome.")] = False,
    format: option.FormatOption = option.OutputFormat.TABLE,
) -> None:
    """Print a job's result again, as `qvirt run` did."""
    from qvirt.cli.render import RunPrinter
    from qvirt.cli.session import opened_host
    from qvirt.host.loop import Finished

    with opened_host() as host:
        found = host.job(job)
        outcome = host.result(found)
    with RunPrinter(format, None if every_outcome else top, quiet=False) as printer:
        printer.show(Finished(found, outcome))


@app.command()
def checkpoint(job: JobArgument, format: option.FormatOption = option.OutputFormat.TABLE) -> None:
    """Save where a running job stands, to go on from with `qvirt run --resume`; the job goes on.

    From any terminal. A circuit is saved between two operations, once its engine stops for a moment.
    """
    from qvirt.cli.render_job import checkpoint_text
    from qvirt.cli.session import opened_host

    with opened_host() as host:
        found = host.job(job)
        kept = host.checkpoint(found)
    if format is option.OutputFormat.JSON:
        output.document("qvirt.checkpoint/1", job=found.id, checkpoint=kept)
    else:
        output.result(f"{found.id}  {checkpoint_text(kept)}")


@app.command()
def cancel(jobs: JobsArgument) -> None:
    """Stop jobs, wherever they run; returns once they have ended."""
    from qvirt.cli.session import opened_host

    failures = Failures()
    with opened_host() as host:
        for name in jobs:
            with failures.noted():
                ended = host.cancel(host.job(name))
                output.note(f"{ended.id} {ended.state.value}")
    failures.end()


@app.command()
def rm(
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB", autocompletion=option.complete_job, show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every job that has ended.")] = False,
) -> None:
    """Remove ended jobs with their results and checkpoints."""
    from qvirt.cli.session import opened_host
    from qvirt.errors import UsageError

    if bool(jobs) == every:
        raise UsageError("name jobs, or give --all", hint="see `qvirt job list`")
    failures, removed = Failures(), 0
    with opened_host() as host:
        names = [job.id for job in host.jobs(1_000_000) if job.state.ended] if every else jobs or []
        for name in names:
            with failures.noted():
                host.remove(host.job(name))
                removed += 1
    output.note(f"removed {removed} job{'s' if removed != 1 else ''}")
    failures.end()
