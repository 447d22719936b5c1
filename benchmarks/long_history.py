"""(c) What a command costs a member with 10 events and one with 10,000."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any, Final

from benchmarks.report import Figure
from ledger.events import Actor
from ledger.ledger import Ledger
from ledger.requests import Accrue, Command, Redeem, Request

SHORT: Final = 10
LONG: Final = 10_000
RATIO_TARGET: Final = 1.2

Make = Callable[[str, int], Command]

_ACTOR: Final = Actor(key="benchmark", role="admin")


def measure(ledger: Ledger, *, rounds: int) -> tuple[list[Figure], dict[str, Any]]:
    """Time single commands on both members in turn; the figure is the ratio of the medians.

    Every one of the 10,000 events is an accrual, so that there are as many open lots: the hardest
    history for a redemption.
    """
    members = {SHORT: "history-short", LONG: "history-long"}
    for events, member in members.items():
        _make_history(ledger, member, events)
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    numbers = count()
    for name, command in (("accrual", _accrual), ("redemption", _redemption)):
        times = _times(ledger, members, command, rounds, numbers)
        milliseconds = {events: statistics.median(taken) * 1000 for events, taken in times.items()}
        details[name] = {f"{events} events, ms": ms for events, ms in milliseconds.items()}
        figures.append(
            Figure(
                f"{name}, {LONG:,} events against {SHORT}",
                milliseconds[LONG] / milliseconds[SHORT],
                "×",
                RATIO_TARGET,
                note=f"{milliseconds[SHORT]:.2f} ms and {milliseconds[LONG]:.2f} ms, medians",
            )
        )
    return figures, details


def _make_history(ledger: Ledger, member: str, events: int) -> None:
    """Enrol a member whose stream has `events` events: the enrolment, then accruals."""
    start = ledger.clock() - timedelta(days=300)
    requests = [
        _request(
            Accrue(
                member_id=member,
                order_id=f"{member}-{number}",
                amount=Decimal("120.00"),
                occurred_at=start + timedelta(minutes=30 * number),
                enrol_unknown=True,
            )
        )
        for number in range(events - 1)
    ]
    for outcome in ledger.handle(requests):
        if outcome.status >= 400:
            raise RuntimeError(f"the history could not be made: {outcome.body}")


def _times(
    ledger: Ledger, members: dict[int, str], command: Make, rounds: int, numbers: count[int]
) -> dict[int, list[float]]:
    times: dict[int, list[float]] = {events: [] for events in members}
    for _ in range(rounds):
        for events, member in members.items():
            request = _request(command(member, next(numbers)))
            started = time.perf_counter()
            (outcome,) = ledger.handle([request])
            times[events].append(time.perf_counter() - started)
            if outcome.status >= 400:
                raise RuntimeError(f"a measured command was refused: {outcome.body}")
    return times


def _accrual(member: str, number: int) -> Command:
    return Accrue(member_id=member, order_id=f"timed-{number}", amount=Decimal("148.60"))


def _redemption(member: str, number: int) -> Command:
    return Redeem(
        member_id=member,
        redemption_id=f"timed-{number}",
        points=100,
        order_id=f"offset-{number}",
        order_amount=Decimal("200.00"),
    )


def _request(command: Command) -> Request:
    return Request(command=command, actor=_ACTOR)
