"""What a rule set would change: tried on the latest real orders and activities; books nothing.

Each is decided twice as if it came at the moment from which the rules are to hold: by the rules in
force then, and by the new ones. So a campaign to come is tried by naming a moment within it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any, Final

import msgspec

from ledger import requests as r
from ledger.answers import Answer
from ledger.earning import Earned, capped
from ledger.events import ActivityRewarded, PointsAccrued
from ledger.ledger import Ledger, check_identity
from ledger.member import accruing, activities
from ledger.money import plain
from ledger.programme.model import Programme
from ledger.programme.versions import differences
from ledger.store.mapper import EventMapper
from ledger.store.recorders import LogEntry
from ledger.store.records import Needs, member_of
from ledger.store.unit_of_work import UnitOfWork
from ledger.summaries import explained

MOST_REHEARSED: Final = 10_000

LOOKED_BACK: Final = 200_000
"""So many of the latest events are looked through, not the whole log for what hardly occurs."""

_EXAMPLES: Final = 5

_LATEST: Final = """
    SELECT stream_id, version, topic, state, position, recorded_at
    FROM events
    WHERE topic = %s AND position > (SELECT position - %s FROM log_head)
    ORDER BY position DESC LIMIT %s
"""


class Rehearsed(msgspec.Struct, frozen=True):
    """One order or activity, decided twice."""

    member_id: str
    name: str
    about: str
    occurred_at: datetime
    before: int
    after: int
    how_before: str
    how_after: str


def rehearse(ledger: Ledger, programme: Programme, *, effective_at: datetime, count: int) -> Answer:
    """What would change from `effective_at` on, tried on the latest `count` orders and activities.

    Raises `Refusal` where the rule set could not be published at all.
    """
    current = ledger.programmes().at(effective_at)
    rules = (current.programme, programme)
    with ledger.database.snapshot() as cursor:
        check_identity(cursor, current.programme, programme)
        mapper = EventMapper()
        unit = UnitOfWork(cursor, mapper)
        orders = _latest(cursor, mapper, PointsAccrued, count)
        acts = _latest(cursor, mapper, ActivityRewarded, count)
        unit.load(Needs(members={member_id for member_id, _ in (*orders, *acts)}), lock=False)
        of_order = list(_orders(unit, orders, rules, effective_at))
        of_activity = list(_activities(unit, acts, rules, effective_at))
    today = current.programme.local_date(effective_at)
    return {
        "programme": programme.code,
        "compared_with": current.number,
        "effective_at": programme.local_time(effective_at).isoformat(),
        "changes": [
            {"path": change.path, "old": change.old, "new": change.new}
            for change in differences(*rules)
        ],
        "orders": _summed(of_order, programme),
        "activities": _summed(of_activity, programme),
        "earned_then_is_good_through": {
            "before": _day(current.programme.expires_on(today)),
            "after": _day(programme.expires_on(today)),
        },
    }


def _latest(
    cursor: Any, mapper: EventMapper, event_class: type[Any], count: int
) -> list[tuple[str, Any]]:
    """The latest events of a class with their members, in the order of the log."""
    cursor.execute(_LATEST, (event_class.TOPIC, LOOKED_BACK, count))
    rows = cursor.fetchall()
    return [
        (
            member_of(stream_id),
            mapper.to_domain_event(
                LogEntry(stream_id, version, topic, bytes(state), position, recorded_at)
            ).event,
        )
        for stream_id, version, topic, state, position, recorded_at in reversed(rows)
    ]


def _orders(
    unit: UnitOfWork,
    events: Iterable[tuple[str, PointsAccrued]],
    rules: tuple[Programme, Programme],
    moment: datetime,
) -> Iterator[Rehearsed]:
    earned_by_day: dict[tuple[int, str, date], int] = {}
    for member_id, event in events:
        member = unit.member(member_id)
        if member is None:
            continue
        command = r.Accrue(
            member_id=member_id,
            order_id=event.order_id,
            amount=event.amount,
            items=event.items,
            channel=event.channel,
            store_id=event.store_id,
        )
        both: list[Earned] = []
        for number, programme in enumerate(rules):
            earned = accruing.earned_before_cap(member, command, programme, moment)
            day = (number, member_id, programme.local_date(event.occurred_at))
            cap = programme.points.daily_earning_cap
            left = max(0, cap - earned_by_day.get(day, 0)) if cap else None
            earned = capped(earned, left)
            earned_by_day[day] = earned_by_day.get(day, 0) + earned.points
            both.append(earned)
        yield _rehearsed(member_id, event.order_id, plain(event.amount), event.occurred_at, both)


def _activities(
    unit: UnitOfWork,
    events: Iterable[tuple[str, ActivityRewarded]],
    rules: tuple[Programme, Programme],
    moment: datetime,
) -> Iterator[Rehearsed]:
    for member_id, event in events:
        member = unit.member(member_id)
        if member is None or event.reason is not None:  # over a cap of its own
            continue
        command = r.Activity(
            member_id=member_id,
            activity=event.activity,
            channel=event.channel,
            store_id=event.store_id,
        )
        earned = [
            activities.earned_before_cap(member, command, programme, moment) for programme in rules
        ]
        yield _rehearsed(member_id, event.activity_id, event.activity, event.occurred_at, earned)


def _rehearsed(
    member_id: str, name: str, about: str, occurred_at: datetime, earned: Sequence[Earned]
) -> Rehearsed:
    before, after = earned
    return Rehearsed(
        member_id=member_id,
        name=name,
        about=about,
        occurred_at=occurred_at,
        before=before.points,
        after=after.points,
        how_before=explained(before.breakdown, before.points).en,
        how_after=explained(after.breakdown, after.points).en,
    )


def _summed(rehearsed: Sequence[Rehearsed], programme: Programme) -> Answer:
    by_member: dict[str, int] = {}
    for each in rehearsed:
        by_member[each.member_id] = by_member.get(each.member_id, 0) + each.after - each.before
    differing = [each for each in rehearsed if each.after != each.before]
    differing.sort(key=lambda each: abs(each.after - each.before), reverse=True)
    moments = [each.occurred_at for each in rehearsed]
    return {
        "rehearsed": len(rehearsed),
        "first_at": programme.local_time(min(moments)).isoformat() if moments else None,
        "last_at": programme.local_time(max(moments)).isoformat() if moments else None,
        "points_before": sum(each.before for each in rehearsed),
        "points_after": sum(each.after for each in rehearsed),
        "members": len(by_member),
        "members_with_more": sum(difference > 0 for difference in by_member.values()),
        "members_with_less": sum(difference < 0 for difference in by_member.values()),
        "examples": [
            {
                "member_id": each.member_id,
                "id": each.name,
                "about": each.about,
                "points_before": each.before,
                "points_after": each.after,
                "summary_before": each.how_before,
                "summary_after": each.how_after,
            }
            for each in differing[:_EXAMPLES]
        ],
    }


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None
