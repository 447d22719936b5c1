"""`jifen jobs`."""

import argparse
from datetime import UTC, datetime

from jifen.commands.grammar import Commands, add_command, add_group, moment
from ledger.settings import Settings


def add_to(commands: Commands) -> None:
    """Describe the commands."""
    example = "jifen jobs run expire-points --as-of 2026-12-01T00:00:00+08:00"
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
    from scheduler.jobs import JOBS

    for name, job in JOBS.items():
        print(f"{name:20} {(job.__doc__ or '').strip().splitlines()[0]}")
    return 0


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run a job to its end."""
    from jifen.refused import Refused
    from jifen.wiring import opened
    from scheduler.jobs import JOBS, run_job

    if arguments.name not in JOBS:
        raise Refused(f"There is no job {arguments.name}; there are {', '.join(JOBS)}.")
    as_of = arguments.as_of or datetime.now(UTC)
    with opened(settings) as ready:
        done = run_job(ready.ledger, arguments.name, as_of)
    print(f"{arguments.name} as of {as_of.isoformat()}: {done.status}, {done.affected} changed.")
    return 0
