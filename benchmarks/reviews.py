"""(e) The reviews of many members: levels every month, tiers at their end (PROGRAMME 6.3, 7)."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from benchmarks.report import Figure
from ledger.events import Actor
from ledger.ledger import Ledger
from ledger.programme import read_programme, shipped_text
from ledger.requests import Accrue, Command, Enrol, Request
from ledger.store.database import Database
from ledger.store.migrate import migrate
from scheduler.jobs import run_job

SECONDS_TARGET: Final = 60.0
OF_MEMBERS: Final = 100_000

_START: Final = datetime(2025, 3, 10, 4, 0, tzinfo=UTC)
_FIRST_OF_JULY: Final = datetime(2025, 6, 30, 17, 0, tzinfo=UTC)
_AFTER_THE_TIERS: Final = _START + timedelta(days=480)
_ACTOR: Final = Actor(key="benchmark", role="admin")
_PAGE: Final = 500


class _Clock:
    now = _START

    def __call__(self) -> datetime:
        return self.now


def measure(url: str, *, members: int) -> tuple[list[Figure], dict[str, Any]]:
    """Review members who bought in four months, all of them silver by then; in a database apart."""
    database, clock = Database(_database_apart(url), application_name="jifen benchmark"), _Clock()
    with closing(database):
        ledger = Ledger(database, clock)
        _make_members(ledger, clock, members)
        clock.now = _FIRST_OF_JULY
        run_job(ledger, "review-levels", _FIRST_OF_JULY - timedelta(days=2))
        monthly = _timed(ledger, "review-levels", members)
        clock.now = _AFTER_THE_TIERS
        tiers = _timed(ledger, "review-tiers", members)
    return [monthly, tiers], {"members": members}


def _timed(ledger: Ledger, job: str, members: int) -> Figure:
    before, started = _peak_mib(), time.perf_counter()
    run = run_job(ledger, job, ledger.clock())
    seconds = time.perf_counter() - started
    assert run["affected"] == members, run
    return Figure(
        f"{job}, {OF_MEMBERS:,} members",
        seconds / members * OF_MEMBERS,
        "s",
        SECONDS_TARGET,
        note=f"{members:,} in {seconds:.1f} s; memory +{_peak_mib() - before:.0f} MiB",
    )


def _make_members(ledger: Ledger, clock: _Clock, members: int) -> None:
    ledger.publish(read_programme(shipped_text("retail")), effective_at=_START, actor=_ACTOR)
    for page in _pages(members):
        ledger.handle([_request(Enrol(member_id=_name(number))) for number in page])
    for month in range(4):
        clock.now = _START + timedelta(days=31 * month)
        for page in _pages(members):
            ledger.handle([_request(_order(number, month)) for number in page])


def _pages(members: int) -> Iterator[range]:
    for first in range(0, members, _PAGE):
        yield range(first, min(first + _PAGE, members))


def _name(number: int) -> str:
    return f"review-{number:07d}"


def _order(number: int, month: int) -> Accrue:
    return Accrue(
        member_id=_name(number),
        order_id=f"review-{number}-{month}",
        amount=Decimal("600.00"),
    )


def _request(command: Command) -> Request:
    return Request(command=command, actor=_ACTOR)


def _database_apart(url: str) -> str:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE jifen_reviews ENCODING 'UTF8' TEMPLATE template0")
    apart = urlunsplit(urlsplit(url)._replace(path="/jifen_reviews"))
    migrate(apart)
    return apart


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
