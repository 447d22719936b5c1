"""Events put straight into the log, for tests of what follows the log.

`Log` appends; `lives` makes whole accounts up, with events that fit together as the ledger's do.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from eventsourcing.persistence import StoredEvent

from ledger import events as e
from ledger.store.database import Database
from ledger.store.mapper import EventMapper
from ledger.store.recorders import append

START = datetime(2026, 5, 1, 4, 0, tzinfo=UTC)
META = e.Meta(actor=e.Actor(key="till-12", role="pos"), request_id="req-1")


class Log:
    """Appends events to members' streams, each with the next version."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._versions: dict[str, int] = {}
        self._mapper = EventMapper()

    def add(self, member_id: str, *events: e.Event) -> int:
        """Append events of one member; answers the last position."""
        return self.add_all([(member_id, event) for event in events])

    def add_all(self, events: Sequence[tuple[str, e.Event]]) -> int:
        """Append events of any members in this order, in one transaction."""
        stored = [
            self._stored(f"member/{member_id}", event.TOPIC, self._mapper.encode(event))
            for member_id, event in events
        ]
        return self._append(stored)

    def add_event(self, stream_id: str, event: e.Event) -> int:
        """Append an event of any stream."""
        return self._append([self._stored(stream_id, event.TOPIC, self._mapper.encode(event))])

    def start_after(self, member_id: str, version: int) -> None:
        """Go on with a stream that another `Log` began."""
        self._versions[f"member/{member_id}"] = version

    def add_raw(self, stream_id: str, topic: str, state: bytes) -> int:
        """Append what need not be an event at all."""
        return self._append([self._stored(stream_id, topic, state)])

    def _stored(self, stream_id: str, topic: str, state: bytes) -> StoredEvent:
        version = self._versions.get(stream_id, 0) + 1
        self._versions[stream_id] = version
        return StoredEvent(stream_id, version, topic, state)

    def _append(self, stored: list[StoredEvent]) -> int:
        with self._database.transaction() as cursor:
            return append(cursor, stored, datetime.now(UTC)).last_position


def enrolled(member_id: str, at: datetime = START) -> e.MemberEnrolled:
    """A member joins."""
    return e.MemberEnrolled(
        occurred_at=at,
        meta=META,
        member_id=member_id,
        referral_code="ZT4H8C",
        programme_version=1,
        tier="regular",
        level="ordinary",
        store_id="s-12",
    )


def grant(
    lot_id: str, points: int, at: datetime = START, order_id: str | None = None
) -> e.LotGrant:
    """A lot that is good for a year."""
    return e.LotGrant(
        lot_id=lot_id,
        granted=points,
        earned_at=at,
        expires_on=date(at.year + 1, at.month, min(at.day, 28)),
        source="order" if order_id else "adjustment",
        order_id=order_id,
    )


def accrued(
    order_id: str,
    points: int,
    at: datetime = START,
    *,
    amount: str | None = None,
    debt_paid: Sequence[e.DebtPaid] = (),
) -> e.PointsAccrued:
    """An order that earned a point for each yuan, at store s-12."""
    return e.PointsAccrued(
        occurred_at=at,
        meta=META,
        order_id=order_id,
        amount=Decimal(amount or f"{points}.00"),
        points=points,
        spend_points=points,
        unrounded_spend_points=str(points),
        breakdown=[
            e.BreakdownRow(
                rule="spend",
                points=points,
                base=Decimal(amount or f"{points}.00"),
                rate=Decimal(1),
            )
        ],
        programme_version=1,
        lot=grant(f"lot-{order_id}", points, at, order_id) if points else None,
        debt_paid=list(debt_paid),
        store_id="s-12",
        channel="store",
    )


class Life:
    """One account that goes through everything that can happen to it, by chance."""

    def __init__(self, member_id: str, chance: random.Random) -> None:
        self.member_id = member_id
        self._chance = chance
        self._number = 0
        self._lots: dict[str, int] = {}
        self._expired: dict[str, int] = {}
        self._reservations: dict[str, list[e.LotPoints]] = {}
        self._debts: list[e.DebtPaid] = []
        self._version = 0
        self._now = START

    def events(self, count: int) -> Iterator[e.Event]:
        """The next `count` events, the enrolment first."""
        verbs = (
            self._accrue, self._accrue, self._redeem, self._reserve, self._capture, self._give_up,
            self._refund, self._restore, self._expire, self._correct, self._adjust, self._freeze,
        )  # fmt: skip
        while count:
            self._now += timedelta(minutes=1)
            if self._version == 0:
                event: e.Event | None = enrolled(self.member_id, self._now)
            else:
                event = self._chance.choice(verbs)()
            if event is not None:
                self._version += 1
                count -= 1
                yield event

    def _name(self, kind: str) -> str:
        self._number += 1
        return f"{kind}-{self.member_id}-{self._number}"

    def _pay(self, parts: Sequence[e.LotPoints]) -> list[e.DebtPaid]:
        """Points that came in pay debt first; the rest is in the lots."""
        paid: list[e.DebtPaid] = []
        for part in parts:
            left = part.points
            while left and self._debts:
                owed = self._debts.pop(0)
                points = min(left, owed.points)
                paid.append(e.DebtPaid(part.lot_id, owed.order_id, points))
                left -= points
                if owed.points > points:
                    rest = e.DebtPaid(owed.lot_id, owed.order_id, owed.points - points)
                    self._debts.insert(0, rest)
            self._lots[part.lot_id] = self._lots.get(part.lot_id, 0) + left
        return paid

    def _draw(self, points: int) -> list[e.LotPoints]:
        drawn = []
        for lot_id, held in self._lots.items():
            taken = min(held, points)
            if taken:
                drawn.append(e.LotPoints(lot_id, taken))
                self._lots[lot_id] -= taken
                points -= taken
        return drawn

    def _some(self) -> int:
        return self._chance.randint(0, sum(self._lots.values()))

    def _accrue(self) -> e.Event:
        order_id, points = self._name("o"), self._chance.choice((0, 1, 148, 1000))
        event = accrued(order_id, points, self._now)
        paid = self._pay([e.LotPoints(f"lot-{order_id}", points)] if points else [])
        return accrued(order_id, points, self._now, debt_paid=paid) if paid else event

    def _redeem(self) -> e.Event | None:
        drawn = self._draw(self._some())
        if not drawn:
            return None
        points = sum(part.points for part in drawn)
        return e.PointsRedeemed(
            occurred_at=self._now,
            meta=META,
            redemption_id=self._name("r"),
            points=points,
            value=Decimal(points).scaleb(-1),
            lots_drawn=drawn,
            programme_version=1,
            order_id=self._name("o"),
        )

    def _reserve(self) -> e.Event | None:
        drawn = self._draw(self._some())
        if not drawn:
            return None
        redemption_id = self._name("r")
        self._reservations[redemption_id] = drawn
        points = sum(part.points for part in drawn)
        return e.PointsReserved(
            occurred_at=self._now,
            meta=META,
            redemption_id=redemption_id,
            points=points,
            value=Decimal(points).scaleb(-1),
            lots_drawn=drawn,
            reserved_until=self._now + timedelta(minutes=15),
            programme_version=1,
        )

    def _returned(self, parts: Sequence[e.LotPoints]) -> tuple[list[e.LotPoints], list[e.DebtPaid]]:
        paid = self._pay(parts)
        pays: dict[str, int] = {}
        for part in paid:
            pays[part.lot_id] = pays.get(part.lot_id, 0) + part.points
        left = [e.LotPoints(p.lot_id, p.points - pays.get(p.lot_id, 0)) for p in parts]
        return [part for part in left if part.points], paid

    def _capture(self) -> e.Event | None:
        if not self._reservations:
            return None
        redemption_id = self._chance.choice(sorted(self._reservations))
        drawn = self._reservations.pop(redemption_id)
        spent = self._chance.randint(1, sum(part.points for part in drawn))
        missing, back = spent, []
        for part in drawn:
            taken = min(part.points, missing)
            missing -= taken
            if part.points > taken:
                back.append(e.LotPoints(part.lot_id, part.points - taken))
        returned, paid = self._returned(back)
        return e.ReservationCaptured(
            occurred_at=self._now,
            meta=META,
            redemption_id=redemption_id,
            points=spent,
            value=Decimal(spent).scaleb(-1),
            lots_returned=returned,
            debt_paid=paid,
        )

    def _give_up(self) -> e.Event | None:
        if not self._reservations:
            return None
        redemption_id = self._chance.choice(sorted(self._reservations))
        drawn = self._reservations.pop(redemption_id)
        returned, paid = self._returned(drawn)
        kind = self._chance.choice((e.ReservationReleased, e.ReservationLapsed))
        return kind(
            occurred_at=self._now,
            meta=META,
            redemption_id=redemption_id,
            points=sum(part.points for part in drawn),
            lots_returned=returned,
            debt_paid=paid,
        )

    def _refund(self) -> e.Event:
        points, order_id = self._chance.randint(0, 500), self._name("o")
        drawn = self._draw(points)
        debt = points - sum(part.points for part in drawn)
        waived = debt if self._chance.random() < 0.3 else 0
        if debt - waived:
            self._debts.append(e.DebtPaid("", order_id, debt - waived))
        return e.PointsClawedBack(
            occurred_at=self._now,
            meta=META,
            refund_id=self._name("f"),
            order_id=order_id,
            points=points,
            lots_drawn=drawn,
            debt=debt - waived,
            waived=waived,
        )

    def _restore(self) -> e.Event | None:
        if not self._lots:
            return None
        lot_id, points = self._chance.choice(sorted(self._lots)), self._chance.randint(1, 300)
        new_lot = grant(self._name("lot"), points, self._now) if self._number % 2 else None
        goes_to = new_lot.lot_id if new_lot else lot_id
        paid = self._pay([e.LotPoints(goes_to, points)])
        return e.PointsRestored(
            occurred_at=self._now,
            meta=META,
            refund_id=self._name("f"),
            order_id=self._name("o"),
            points=points,
            lots=[e.RestoredLot("r-1", lot_id, points, new_lot)],
            debt_paid=paid,
        )

    def _expire(self) -> e.Event | None:
        holding = sorted(lot_id for lot_id, points in self._lots.items() if points)
        if not holding:
            return None
        lot_id = self._chance.choice(holding)
        points, self._lots[lot_id] = self._lots[lot_id], 0
        self._expired[lot_id] = self._version + 1
        return e.PointsExpired(
            occurred_at=self._now,
            meta=META,
            lot_id=lot_id,
            points=points,
            expires_on=date(2027, 5, 1),
        )

    def _correct(self) -> e.Event | None:
        if not self._expired:
            return None
        lot_id, version = self._expired.popitem()
        return e.PointsExpiryCorrected(
            occurred_at=self._now,
            meta=META,
            lot_id=lot_id,
            points=1,
            corrects=version,
            debt_paid=self._pay([e.LotPoints(lot_id, 1)]),
        )

    def _adjust(self) -> e.Event | None:
        if self._chance.random() < 0.5:
            lot = grant(self._name("lot"), 50, self._now)
            paid = self._pay([e.LotPoints(lot.lot_id, 50)])
            return self._adjusted(50, lot=lot, debt_paid=paid)
        drawn = self._draw(min(20, self._some()))
        points = sum(part.points for part in drawn)
        return self._adjusted(-points, lots_drawn=drawn) if points else None

    def _adjusted(
        self,
        points: int,
        lot: e.LotGrant | None = None,
        lots_drawn: list[e.LotPoints] | None = None,
        debt_paid: list[e.DebtPaid] | None = None,
    ) -> e.Event:
        return e.PointsAdjusted(
            occurred_at=self._now,
            meta=META,
            adjustment_id=self._name("a"),
            points=points,
            reason="goodwill\tfor a \\ broken vase\n破损",
            lot=lot,
            lots_drawn=lots_drawn or [],
            debt_paid=debt_paid or [],
        )

    def _freeze(self) -> e.Event:
        kind = self._chance.choice((e.MemberFrozen, e.MemberUnfrozen))
        return kind(occurred_at=self._now, meta=META, reason="suspected fraud")


def lives(members: int, events_each: int, seed: int = 1) -> list[tuple[str, e.Event]]:
    """Events of several members, mixed as they would come in."""
    chance = random.Random(seed)
    streams = [
        [(life.member_id, event) for event in life.events(events_each)]
        for life in (Life(f"m-{number}", chance) for number in range(1, members + 1))
    ]
    mixed: list[tuple[str, e.Event]] = []
    while streams:
        stream = chance.choice(streams)
        mixed.append(stream.pop(0))
        streams = [rest for rest in streams if rest]
    return mixed
