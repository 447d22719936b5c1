"""The jobs by name, and one run of one. A repeated run does only what has become due since."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict

from ledger.errors import InvalidRequest, NotFound, Refusal
from ledger.events import Actor
from ledger.ledger import Ledger
from ledger.requests import (
    Command,
    ExpirePoints,
    LapseReservations,
    Outcome,
    ReleasePending,
    Request,
    ReviewLevels,
    ReviewTiers,
)

Progress = Callable[[int, int], None]
"""Called after each page with the members seen and the items changed so far."""

PAGE_MEMBERS: Final = 500
MONTHS_AT_ONCE: Final = 6
"""So many monthly reviews of a member are recorded in one transaction."""
FUTURE_ALLOWED: Final = timedelta(minutes=5)
SCHEDULER: Final = Actor(key="scheduler", role="system")

_BEGIN: Final = """
    INSERT INTO job_runs (run_id, job, as_of, status, started_at)
    VALUES (%s, %s, %s, 'running', %s)
"""
_END: Final = """
    UPDATE job_runs SET status = %s, affected = %s, reason = %s, finished_at = %s
    WHERE run_id = %s
"""


class JobRun(TypedDict):
    """What came of a run. `affected` counts the items changed: lots, reservations.

    `as_of` is the moment that decided, in the programme's time zone.
    """

    run_id: str
    job: str
    as_of: str
    status: str
    affected: int


@dataclass
class Tally:
    """What a run has done so far; `refusals` are of commands, each of which stands alone."""

    members: int = 0
    affected: int = 0
    refusals: int = 0
    first_refusal: str | None = None

    def count(self, outcomes: Iterable[Outcome]) -> None:
        """Add a page of outcomes."""
        for outcome in outcomes:
            self.members += 1
            if outcome.status < 400:
                self.affected += outcome.body["affected"]
            else:
                self.refusals += 1
                self.first_refusal = self.first_refusal or str(outcome.body["detail"])

    @property
    def status(self) -> str:
        """`done`, or `failed` where a command was refused."""
        return "failed" if self.refusals else "done"

    @property
    def reason(self) -> str | None:
        """Why it failed, if it did."""
        if not self.refusals:
            return None
        return f"{self.refusals} of {self.members} members refused; the first: {self.first_refusal}"


Job = Callable[[Ledger, datetime, Tally, Progress], None]


def expire_points(ledger: Ledger, as_of: datetime, tally: Tally, progress: Progress) -> None:
    """Record the expiry of points whose last day is over (PROGRAMME 3.3)."""
    for member_ids in _pages(ledger.due_for_expiry, as_of):
        _send(ledger, [ExpirePoints(member_id=each, as_of=as_of) for each in member_ids], tally)
        progress(tally.members, tally.affected)


def release_pending(ledger: Ledger, as_of: datetime, tally: Tally, progress: Progress) -> None:
    """Record that points whose return window has passed became active (PROGRAMME 2.9)."""
    for member_ids in _pages(ledger.due_for_release, as_of):
        _send(ledger, [ReleasePending(member_id=each, as_of=as_of) for each in member_ids], tally)
        progress(tally.members, tally.affected)


def review_tiers(ledger: Ledger, as_of: datetime, tally: Tally, progress: Progress) -> None:
    """Record the reviews of tiers whose validity is over (PROGRAMME 6.3)."""
    for member_ids in _pages(ledger.due_for_tier_review, as_of):
        _send(ledger, [ReviewTiers(member_id=each, as_of=as_of) for each in member_ids], tally)
        progress(tally.members, tally.affected)


def review_levels(ledger: Ledger, as_of: datetime, tally: Tally, progress: Progress) -> None:
    """Record the monthly reviews of level, segment and lifecycle (PROGRAMME 7).

    Where years are to be caught up, each pass takes a few months of every member: a transaction
    must not hold members for so long that tills wait for them.
    """
    before = -1
    while before < tally.affected:
        before = tally.affected
        for member_ids in _pages(ledger.due_for_level_review, as_of):
            commands = [
                ReviewLevels(member_id=each, as_of=as_of, most=MONTHS_AT_ONCE)
                for each in member_ids
            ]
            _send(ledger, commands, tally)
            progress(tally.members, tally.affected)


def lapse_reservations(ledger: Ledger, as_of: datetime, tally: Tally, progress: Progress) -> None:
    """Record the end of reservations whose time is over (PROGRAMME 4.3)."""
    for member_ids in _pages(ledger.due_for_lapse, as_of):
        commands = [LapseReservations(member_id=each, as_of=as_of) for each in member_ids]
        _send(ledger, commands, tally)
        progress(tally.members, tally.affected)


JOBS: Final[Mapping[str, Job]] = {
    "expire-points": expire_points,
    "lapse-reservations": lapse_reservations,
    "release-pending": release_pending,
    "review-tiers": review_tiers,
    "review-levels": review_levels,
}


def run_job(ledger: Ledger, name: str, as_of: datetime, progress: Progress | None = None) -> JobRun:
    """Do what is due at `as_of` and not done yet; the run is recorded in `job_runs`.

    Any number may run at once, of the same job too: each command does only what is still due. A
    moment up to 5 minutes ahead of the clock counts as now.
    Raises `NotFound` for an unknown job or without a programme, `InvalidRequest` for a moment that
    has not come yet, and what the database raises; what was done until then stays done.
    """
    job = JOBS.get(name)
    if job is None:
        raise NotFound(f"job (there are {', '.join(JOBS)}) named", name)
    as_of = _come(as_of, ledger.clock())
    programme = ledger.programmes().latest.programme
    tally = Tally()
    with _recorded(ledger, name, as_of, tally) as run_id:
        job(ledger, as_of, tally, progress or _ignore)
    return {
        "run_id": run_id,
        "job": name,
        "as_of": programme.local_time(as_of).isoformat(),
        "status": tally.status,
        "affected": tally.affected,
    }


def _ignore(members: int, affected: int) -> None:
    """Nobody wants to know."""


def _come(as_of: datetime, now: datetime) -> datetime:
    """The moment to decide by; a caller's clock may go ahead of ours, what is good stays good."""
    if as_of.tzinfo is None:
        raise InvalidRequest("as_of", "Give a time with its offset, such as +08:00.")
    if as_of > now + FUTURE_ALLOWED:
        raise InvalidRequest(
            "as_of", "Give a time that has come: what is due later can't be recorded now."
        )
    return min(as_of, now)


def _pages(
    due: Callable[[datetime, str | None, int], list[str]], as_of: datetime
) -> Iterator[list[str]]:
    """Members with something due, page by page in the order of their ids."""
    after: str | None = None
    while member_ids := due(as_of, after, PAGE_MEMBERS):
        yield member_ids
        after = member_ids[-1]


def _send(ledger: Ledger, commands: Iterable[Command], tally: Tally) -> None:
    # No idempotency key: the same run repeated must see what late data has made due since.
    tally.count(ledger.handle([Request(command=command, actor=SCHEDULER) for command in commands]))


@contextmanager
def _recorded(ledger: Ledger, name: str, as_of: datetime, tally: Tally) -> Iterator[str]:
    run_id = f"run-{uuid.uuid4().hex}"
    _write(ledger, _BEGIN, (run_id, name, as_of, ledger.clock()))
    try:
        yield run_id
    except BaseException as error:
        reason = error.detail if isinstance(error, Refusal) else f"{type(error).__name__}: {error}"
        _write(ledger, _END, ("failed", tally.affected, reason, ledger.clock(), run_id))
        raise
    _write(ledger, _END, (tally.status, tally.affected, tally.reason, ledger.clock(), run_id))


def _write(ledger: Ledger, statement: str, values: tuple[Any, ...]) -> None:
    with ledger.database.transaction() as cursor:
        cursor.execute(statement, values)
