"""`jifen jobs`."""

import argparse
from datetime import UTC, datetime

from jifen.commands.grammar import Commands, add_command, add_group, moment
from ledger.settings import Settings


def add_to(commands: Commands) -> None:
    """Describe the commands."""
    example = "jifen jobs run expire-points --as-of 2026-06-01T00:00:00+08:00"
    group = add_group(
        commands,
        "jobs",
        about="list the jobs, or run one: it does what has become due and no more",
        example=f"jifen jobs\n  {example}",
        run=list_jobs,
    )
    parser = add_command(
        group, "run", run, about="run one job now; safe to repeat", example=example
    )
    parser.add_argument("name", metavar="NAME", help="the job, as `jifen jobs` lists it")
    parser.add_argument(
        "--as-of", type=moment, metavar="TIME", help="do what is due at this time (default: now)"
    )


def list_jobs(arguments: argparse.Namespace, settings: Settings) -> int:
    """List the jobs by name, with what each does."""
    from jifen.wiring import described_jobs

    for name, about in described_jobs().items():
        print(f"{name:20} {about}")
    return 0


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run a job to its end; 1 where some of it was refused."""
    from jifen.refused import Refused
    from jifen.wiring import described_jobs, opened
    from scheduler.jobs import run_job

    if arguments.name not in described_jobs():
        known = ", ".join(described_jobs())
        raise Refused(f"There is no job {arguments.name!r}; there are {known}.")
    as_of = arguments.as_of or datetime.now(UTC)
    with opened(settings) as ready:
        done = run_job(ready.ledger, arguments.name, as_of)
    print(f"{done['job']} as of {done['as_of']}: {done['status']}, {done['affected']} changed.")
    return 0 if done["status"] == "done" else 1
