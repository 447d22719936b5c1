"""A shop with a few known customers, for tests that speak in the business's own verbs.

Money and times are written as staff would say them: "148.60", "2026-05-01 12:00" (local time of
the programme). `on=` says when something happened; without it, it happens now, by the shop's clock.

    shop.at("2026-05-01 12:00")
    shop.buys("li-lei", "o-pram", "148.60")
    with shop.refusing("insufficient_points"):
        shop.redeems("li-lei", "r-1", 200, "o-cot", "900.00")
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from ledger import requests as r
from ledger.events import Actor, OrderItem
from ledger.ledger import Ledger, rebuilt
from ledger.member import Member
from ledger.programme import shipped_text
from ledger.programme.model import Programme
from ledger.programme.reading import read_programme
from ledger.store.database import Database

TILL = Actor(key="till-12", role="pos")
DESK = Actor(key="desk-1", role="service")
OFFICE = Actor(key="office", role="admin")

RULES = """
programme = "corner-shop"
currency = "CNY"
time_zone = "Asia/Shanghai"

[points]
value = "0.10"
validity = { years = 1 }
restored_min_days = 7

[earning]
rate = "1"

[redemption]
step = 100
min = 100
max_order_share = "0.50"
reserve_seconds = 900
"""
"""Points on spend, cash offset, refunds: what the retail programme says of them, and no more."""

CORE_FROM_THE_START = """
[levels]
bands = [ { code = "core", from = 0 }, { code = "loyal", from = 151 } ]
"""
"""A member's level before the first review is the first band: here it is core."""

ALWAYS = "1970-01-02 00:00"


def rules(extra: str = "", **sections: Any) -> Programme:
    """The shop's rules with further sections (`extra`, in TOML) and changed settings."""
    return _changed(tomllib.loads(RULES + extra), sections)


def shipped(name: str, **sections: Any) -> Programme:
    """A programme as it is shipped, with changed settings."""
    return _changed(tomllib.loads(shipped_text(name)), sections)


def _changed(settings: dict[str, Any], sections: dict[str, Any]) -> Programme:
    """A section's given keys replace its own; anything else, a list say, replaces it all."""
    for section, values in sections.items():
        if isinstance(values, dict):
            settings.setdefault(section, {}).update(values)
        else:
            settings[section] = values
    return read_programme(json.dumps(settings, default=lambda it: it.isoformat()), format="json")


def campaign(
    code: str, *, start: str = "2026-05-01 00:00", end: str = "2026-06-01 00:00", **settings: Any
) -> dict[str, Any]:
    """A campaign, in May 2026 unless said otherwise; `end` is the first moment after it."""
    period = {"from": local(start).isoformat(), "until": local(end).isoformat()}
    return {"code": code, **period, **settings}


def local(text: str) -> datetime:
    """A local time of the programme."""
    return datetime.fromisoformat(f"{text}+08:00")


def item(sku: str, amount: str, line: str | None = None) -> OrderItem:
    """A line of an order."""
    return OrderItem(sku=sku, amount=Decimal(amount), product_line=line)


def rows(answer: dict[str, Any]) -> list[tuple[str, int]]:
    """The breakdown of an answer as (rule, points); its rows add up to what was granted."""
    breakdown = answer["breakdown"]
    assert sum(row["points"] for row in breakdown) == answer["points"], breakdown
    return [(row["rule"], row["points"]) for row in breakdown]


def templates(answer: dict[str, Any]) -> list[str]:
    """The templates of the coupons that an answer says were issued, in alphabetical order."""
    return sorted(issued["template"] for issued in answer["issued"] if "template" in issued)


def order(
    member_id: str,
    order_id: str,
    amount: str,
    *,
    on: str | None = None,
    items: Sequence[OrderItem] = (),
    paid_with: Sequence[str] = (),
    code: str | None = None,
    **more: Any,
) -> r.Accrue:
    """An order as the till sends it; `code` is a friend's referral code."""
    return r.Accrue(
        member_id=member_id,
        order_id=order_id,
        amount=Decimal(amount),
        occurred_at=local(on) if on else None,
        items=list(items),
        redemption_ids=list(paid_with),
        referral_code=code,
        **more,
    )


class RefusedError(Exception):
    """What was asked was refused; `outcome` says why."""

    def __init__(self, outcome: r.Outcome) -> None:
        super().__init__(f"{outcome.body.get('code')}: {outcome.body.get('detail')}")
        self.outcome = outcome


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class Shop:
    """A till, a service desk and a clock before one ledger."""

    def __init__(
        self, database: Database, programme: Programme, now: datetime | None = None
    ) -> None:
        self.database = database
        self.clock = Clock(now or local("2026-05-01 12:00"))
        self.ledger = Ledger(database, self.clock)
        self.publish(programme)

    def publish(self, programme: Programme, effective: str = ALWAYS) -> dict[str, Any]:
        """New rules, in force from a local time on."""
        outcome = self.ledger.publish(programme, effective_at=local(effective), actor=OFFICE)
        assert outcome.status < 300, outcome.body
        return outcome.body

    # Asking

    def at(self, now: str) -> Shop:
        """Set the clock."""
        self.clock.now = local(now)
        return self

    def ask(
        self,
        command: r.Command,
        *,
        key: str | None = None,
        actor: Actor = TILL,
        version: int | None = None,
    ) -> r.Outcome:
        """The outcome of one request."""
        request = r.Request(
            command=command,
            actor=actor,
            idempotency_key=key,
            key_scope=actor.key,
            expected_version=version,
        )
        return self.ledger.handle([request])[0]

    def together(self, *commands: r.Command) -> list[r.Outcome]:
        """The outcomes of a batch."""
        return self.ledger.handle([r.Request(command=one, actor=TILL) for one in commands])

    def does(self, command: r.Command, *, actor: Actor = TILL) -> dict[str, Any]:
        """The answer to one request; raises `RefusedError`."""
        outcome = self.ask(command, actor=actor)
        if outcome.status >= 400:
            raise RefusedError(outcome)
        return outcome.body

    @contextmanager
    def refusing(self, code: str) -> Iterator[None]:
        """What is asked in here is refused with this code, and leaves every byte as it was."""
        before = self.everything_stored()
        try:
            yield
        except RefusedError as refused:
            assert refused.outcome.body["code"] == code, str(refused)
            assert refused.outcome.body["status"] == refused.outcome.status
            assert refused.outcome.body["detail"].endswith(".")
        else:
            raise AssertionError(f"it should have been refused: {code}")
        assert self.everything_stored() == before

    # Verbs

    def enrols(self, *members: str, on: str = "2024-01-02 09:00") -> Shop:
        """Members join."""
        for member_id in members:
            self.does(r.Enrol(member_id=member_id, joined_at=local(on)))
        return self

    def joins(
        self,
        member_id: str,
        *,
        code: str | None = None,
        phone: str | None = None,
        email: str | None = None,
        on: str | None = None,
    ) -> dict[str, Any]:
        """A customer joins, perhaps with the referral code of a friend."""
        return self.does(
            r.Enrol(
                member_id=member_id,
                joined_at=local(on) if on else None,
                phone=phone,
                email=email,
                referral_code=code,
            )
        )

    def buys(self, member_id: str, order_id: str, amount: str, **more: Any) -> dict[str, Any]:
        """An order: `amount` is what was paid."""
        return self.does(order(member_id, order_id, amount, **more))

    def quotes(self, member_id: str, order_id: str, amount: str, **more: Any) -> dict[str, Any]:
        """What an order would earn; it leaves every byte as it was."""
        before = self.everything_stored()
        command = order(member_id, order_id, amount, **more)
        answer = self.ledger.preview(r.Request(command=command, actor=TILL))
        assert self.everything_stored() == before
        return answer

    def does_activity(
        self,
        member_id: str,
        activity: str,
        activity_id: str | None,
        *,
        on: str | None = None,
        reference: str | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """A member does something else than buying: checks in, reviews, shares."""
        return self.does(
            r.Activity(
                member_id=member_id,
                activity=activity,
                activity_id=activity_id,
                occurred_at=local(on) if on else None,
                reference=reference,
                **more,
            )
        )

    def redeems(
        self,
        member_id: str,
        redemption_id: str,
        points: int,
        order_id: str,
        order_amount: str = "9000.00",
        *,
        on: str | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """A cash offset."""
        return self.does(
            r.Redeem(
                member_id=member_id,
                redemption_id=redemption_id,
                points=points,
                order_id=order_id,
                order_amount=Decimal(order_amount),
                occurred_at=local(on) if on else None,
                **more,
            )
        )

    def reserves(
        self,
        member_id: str,
        redemption_id: str,
        points: int,
        order_id: str,
        *args: str,
        **more: Any,
    ) -> dict[str, Any]:
        """Points set aside for an order: for 15 minutes, or `seconds`."""
        seconds = more.pop("seconds", None)
        return self.redeems(
            member_id, redemption_id, points, order_id, *args,
            reserve=True, reserve_seconds=seconds, **more,
        )  # fmt: skip

    def captures(self, redemption_id: str, points: int | None = None) -> dict[str, Any]:
        """A reservation is spent."""
        return self.does(r.Capture(redemption_id=redemption_id, points=points))

    def releases(self, redemption_id: str) -> dict[str, Any]:
        """A reservation is given up."""
        return self.does(r.Release(redemption_id=redemption_id))

    def refunds(
        self, order_id: str, refund_id: str, amount: str, *, on: str | None = None
    ) -> dict[str, Any]:
        """A part of an order is given back."""
        return self.does(
            r.Refund(
                order_id=order_id,
                refund_id=refund_id,
                amount=Decimal(amount),
                occurred_at=local(on) if on else None,
            )
        )

    def adjusts(
        self,
        member_id: str,
        adjustment_id: str,
        points: int,
        *,
        on: str | None = None,
        actor: Actor = DESK,
    ) -> dict[str, Any]:
        """Staff give or take points."""
        return self.does(
            r.Adjust(
                member_id=member_id,
                adjustment_id=adjustment_id,
                points=points,
                reason="goodwill",
                occurred_at=local(on) if on else None,
            ),
            actor=actor,
        )

    def freezes(self, member_id: str) -> dict[str, Any]:
        """The service desk stops a member's earning and redeeming."""
        return self.does(r.Freeze(member_id=member_id, reason="under review"), actor=DESK)

    def unfreezes(self, member_id: str) -> dict[str, Any]:
        """The service desk lets the member earn and redeem again."""
        return self.does(r.Unfreeze(member_id=member_id, reason="cleared"), actor=DESK)

    def expires(self, member_id: str) -> int:
        """The scheduler records the expiries that are due by now; answers how many lots."""
        command = r.ExpirePoints(member_id=member_id, as_of=self.clock.now)
        affected = self.does(command)["affected"]
        assert isinstance(affected, int)
        return affected

    def lapses(self, member_id: str) -> int:
        """The scheduler records the lapses that are due by now; answers how many reservations."""
        command = r.LapseReservations(member_id=member_id, as_of=self.clock.now)
        affected = self.does(command)["affected"]
        assert isinstance(affected, int)
        return affected

    def activates(self, member_id: str) -> int:
        """The scheduler records which pending lots have become active; answers how many."""
        command = r.ReleasePending(member_id=member_id, as_of=self.clock.now)
        affected = self.does(command)["affected"]
        assert isinstance(affected, int)
        return affected

    def reviews_tiers(self, member_id: str) -> int:
        """The scheduler records the tier reviews that are due by now; answers how many events."""
        command = r.ReviewTiers(member_id=member_id, as_of=self.clock.now)
        affected = self.does(command)["affected"]
        assert isinstance(affected, int)
        return affected

    def reviews_levels(self, member_id: str) -> int:
        """The scheduler records the monthly reviews that are due by now; answers how many."""
        command = r.ReviewLevels(member_id=member_id, as_of=self.clock.now)
        affected = self.does(command)["affected"]
        assert isinstance(affected, int)
        return affected

    def uses_benefit(
        self,
        member_id: str,
        benefit: str,
        use_id: str | None = None,
        *,
        on: str | None = None,
        note: str | None = None,
        actor: Actor = TILL,
    ) -> dict[str, Any]:
        """A member takes up what the tier, the level or the segment brings."""
        return self.does(
            r.UseBenefit(
                member_id=member_id,
                benefit=benefit,
                use_id=use_id,
                occurred_at=local(on) if on else None,
                note=note,
            ),
            actor=actor,
        )

    # Looking

    def member(self, member_id: str) -> dict[str, Any]:
        """The member object, now."""
        return self.ledger.member(member_id)

    def available(self, member_id: str) -> int:
        """Points that can be spent, now."""
        return self.balance(member_id)["available"]

    def debt(self, member_id: str) -> int:
        """Points owed, now."""
        return self.balance(member_id)["debt"]

    def balance(self, member_id: str) -> dict[str, int]:
        """The balances, now."""
        balance = self.member(member_id)["balance"]
        assert isinstance(balance, dict)
        return balance

    def totals(self, member_id: str) -> dict[str, Any]:
        """The totals."""
        totals = self.member(member_id)["totals"]
        assert isinstance(totals, dict)
        return totals

    def lots(self, member_id: str) -> list[tuple[str | None, int, str | None]]:
        """(order, remaining, good through) of each lot with something left, in drawing order."""
        return [
            (lot["order_id"], lot["remaining"], lot["expires_on"])
            for lot in self.member(member_id)["lots"]
        ]

    def then(self, member_id: str, as_of: str) -> dict[str, int]:
        """The balances as they stood at a local time."""
        balance = self.ledger.replay(member_id, as_of=local(as_of))["balance"]
        assert isinstance(balance, dict)
        return balance

    def member_then(self, member_id: str, as_of: str) -> dict[str, Any]:
        """The member object as it stood at a local time."""
        return self.ledger.replay(member_id, as_of=local(as_of))

    def tier(self, member_id: str) -> tuple[str, str | None]:
        """(tier, its last good day), now."""
        tier = self.member(member_id)["tier"]
        return tier["code"], tier["until"]

    def progress(self, member_id: str) -> dict[str, Any]:
        """What is missing to the next tier, and to keep this one, now."""
        progress = self.member(member_id)["progress"]
        assert isinstance(progress, dict)
        return progress

    def standing(self, member_id: str) -> tuple[str | None, str | None, str | None]:
        """(level, segment, lifecycle), now."""
        member = self.member(member_id)
        return member["level"], member["segment"], member["lifecycle"]

    def benefits(self, member_id: str) -> dict[str, dict[str, Any]]:
        """What is due to the member now, by the benefit's code."""
        return {one["benefit"]: one for one in self.ledger.benefits(member_id)["benefits"]}

    def code_of(self, member_id: str) -> str:
        """The member's referral code, to be given to friends."""
        code = self.member(member_id)["referral_code"]
        assert isinstance(code, str)
        return code

    def flags(self, member_id: str) -> list[str]:
        """The guard rails that the member has tripped."""
        flags = self.member(member_id)["flags"]
        assert isinstance(flags, list)
        return flags

    def coupons(self, member_id: str) -> list[str]:
        """The templates of the coupons issued to the member and not voided since."""
        voided = {event.code for event in self.events(member_id, "CouponVoided")}
        return sorted(
            event.template
            for event in self.events(member_id, "CouponIssued")
            if event.code not in voided
        )

    def events(self, member_id: str, *topics: str) -> list[Any]:
        """What happened to the member, all or of these kinds."""
        return [
            recorded.event
            for recorded in self.ledger.events_of(member_id)
            if not topics or recorded.event.TOPIC in topics
        ]

    def members(self) -> list[str]:
        """Every member's id."""
        with self.database.transaction() as cursor:
            cursor.execute("SELECT member_id FROM member_states ORDER BY member_id")
            return [member_id for (member_id,) in cursor.fetchall()]

    def everything_stored(self) -> list[Any]:
        """Every row of the log and of the state beside it."""
        rows = []
        with self.database.transaction() as cursor:
            for table in (
                "events", "member_states", "lot_states", "directory", "open_reservations",
                "profiles", "programme_versions", "pending_lots", "referrals", "activity_answers",
            ):  # fmt: skip
                cursor.execute(f"SELECT t::text FROM {table} AS t ORDER BY 1")  # noqa: S608
                rows.append((table, [row for (row,) in cursor.fetchall()]))
        return rows

    # What always holds

    def prove(self) -> None:
        """Every member's events alone give what is stored and served of the member."""
        for member_id in self.members():
            self._prove_replay(member_id)
            self._prove_state(member_id)

    def _prove_replay(self, member_id: str) -> None:
        served = self.ledger.member(member_id)
        assert self.ledger.replay(member_id) == served
        balance = served["balance"]
        assert all(points >= 0 for points in balance.values()), balance
        assert sum(lot["remaining"] for lot in served["lots"]) == (
            balance["available"] + balance["pending"]
        )
        by_events = self.ledger.replay(member_id, version=served["version"])
        totals, held = by_events["totals"], by_events["balance"]
        assert (
            totals["granted"] + totals["restored"] + totals["adjusted"]
            - totals["redeemed"] - totals["expired"] - totals["clawed_back"]
            == held["available"] + held["pending"] + held["reserved"] - held["debt"]
        )  # fmt: skip

    def _prove_state(self, member_id: str) -> None:
        member = rebuilt(list(self.ledger.events_of(member_id)))
        with self.database.transaction() as cursor:
            cursor.execute("SELECT state FROM member_states WHERE member_id = %s", (member_id,))
            ((state,),) = cursor.fetchall()
            cursor.execute(
                "SELECT lot_id, state FROM lot_states WHERE member_id = %s", (member_id,)
            )
            lots = dict(cursor.fetchall())
            cursor.execute(
                "SELECT kind, id, state FROM directory WHERE member_id = %s AND state IS NOT NULL",
                (member_id,),
            )
            parts = {
                f"{kind} {name.removesuffix(f'/{member_id}')}": state
                for kind, name, state in cursor.fetchall()
            }
            cursor.execute(
                "SELECT redemption_id, reserved_until FROM open_reservations WHERE member_id = %s",
                (member_id,),
            )
            reservations = dict(cursor.fetchall())
        assert _head(json.loads(state)) == _head(_plain(member.state))
        assert reservations == member.state.reservations
        assert _loaded(lots) == {lot.lot_id: _plain(lot) for lot in member.lots.known()}
        assert _loaded(parts) == _parts(member)


OpenShop = Callable[[Programme], Shop]
"""Opens a shop with these rules (the fixture `open_shop`)."""


def _head(state: dict[str, Any]) -> dict[str, Any]:
    """Without the cache of what expires next, which may be any lower bound."""
    remembered = {"due_before", "due_points", "next_expiry_on"}
    return {name: value for name, value in state.items() if name not in remembered}


def _plain(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))


def _loaded(rows: dict[str, str]) -> dict[str, Any]:
    return {name: json.loads(state) for name, state in rows.items()}


def _parts(member: Member) -> dict[str, Any]:
    """Orders, redemptions and whatever else is kept one by one, by kind and id."""
    return {
        f"{kind} {name}": _plain(part)
        for kind, parts in member.parts()
        for name, part in parts.known().items()
    }
