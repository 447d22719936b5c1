"""The ledger: requests in, outcomes out, everything that a batch decides in one transaction.

One path for one and for many (DESIGN 2.3): all members that a batch names are loaded with one
statement, each request is decided in memory, and everything is appended and committed together.
Each request stands alone: a refusal touches no other, and where one makes the whole transaction
impossible it is decided again by itself.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import psycopg2
import psycopg2.errors
from eventsourcing import persistence

from ledger.answers import Answer, member_answer, redemption_answer
from ledger.case import Case, Elsewhere
from ledger.clock import Clock, system_clock
from ledger.commands import quote
from ledger.commands.benefits import benefits_answer
from ledger.deciding import decide, known_answer, needs_of, referrers_missing, remember_key
from ledger.errors import NotFound, Refusal
from ledger.events import Actor, MemberEnrolled, Meta, ProgrammePublished, RecordedEvent
from ledger.hindsight import as_it_was
from ledger.member import Circumstances, Member, levels
from ledger.member.settling import settle
from ledger.programme.model import Programme
from ledger.programme.reading import programme_from_json, rules_to_json
from ledger.programme.versions import ProgrammeHistory, ProgrammeVersion, identity_changes
from ledger.requests import Accrue, Outcome, Request
from ledger.store.database import Cursor, Database
from ledger.store.mapper import EventMapper
from ledger.store.recorders import LogEntry, append
from ledger.store.records import Needs, stream_of
from ledger.store.unit_of_work import UnitOfWork, lock_publishing

log = logging.getLogger(__name__)

PROGRAMME_STREAM: Final = "programme"
BATCH_SIZE: Final = 500
"""Most requests of one transaction, where the caller brings more."""

GATHERED_WAIT_SECONDS: Final = 1.0
"""How long requests gathered in one transaction wait for a lock, before they go one by one."""

ALONE_WAIT_SECONDS: Final = 0.1
"""How long each of them then waits again."""

_ATTEMPTS: Final = 5

_VERSIONS: Final = """
    SELECT number, effective_at, recorded_at, rules FROM programme_versions ORDER BY number
"""

_STREAM: Final = """
    SELECT stream_id, version, topic, state, position, recorded_at
    FROM events WHERE stream_id = %s ORDER BY version
"""

_DUE_FOR_EXPIRY: Final = """
    SELECT DISTINCT member_id FROM lot_states
    WHERE open AND expires_on < %s AND member_id > %s
    ORDER BY member_id LIMIT %s
"""

_DUE_FOR_LAPSE: Final = """
    SELECT DISTINCT member_id FROM open_reservations
    WHERE reserved_until <= %s AND member_id > %s
    ORDER BY member_id LIMIT %s
"""

_DUE_FOR_RELEASE: Final = """
    SELECT DISTINCT member_id FROM pending_lots
    WHERE pending_until < %s AND member_id > %s
    ORDER BY member_id LIMIT %s
"""

_DUE_FOR_TIER_REVIEW: Final = """
    SELECT member_id FROM member_states WHERE tier_until < %s AND member_id > %s
    ORDER BY member_id LIMIT %s
"""

_DUE_FOR_LEVEL_REVIEW: Final = """
    SELECT member_id FROM member_states WHERE reviewed_on < %s AND member_id > %s
    ORDER BY member_id LIMIT %s
"""

_FIND: Final = {
    "phone": "SELECT member_id FROM profiles WHERE phone = %s AND member_id > %s "
    "ORDER BY member_id LIMIT %s",
    "email": "SELECT member_id FROM profiles WHERE lower(email) = lower(%s) AND member_id > %s "
    "ORDER BY member_id LIMIT %s",
    "external_id": "SELECT member_id FROM profiles WHERE external_id = %s AND member_id > %s "
    "ORDER BY member_id LIMIT %s",
    "referral_code": "SELECT member_id FROM member_states WHERE referral_code = %s "
    "AND member_id > %s ORDER BY member_id LIMIT %s",
}


class _GaveUp(Exception):  # noqa: N818
    """The transaction of a batch is over because of the request at `index`."""

    def __init__(self, index: int, reason: Exception) -> None:
        super().__init__(str(reason))
        self.index = index
        self.reason = reason


class Ledger:
    """All that can be asked of one programme's ledger."""

    def __init__(self, database: Database, clock: Clock = system_clock) -> None:
        self.database = database
        self.clock = clock
        self._mapper = EventMapper()
        self._programmes: ProgrammeHistory | None = None

    # Writing

    def handle(self, requests: Sequence[Request]) -> list[Outcome]:
        """Decide and book requests, in order; the outcomes are in the same order.

        Never raises for a refusal. Raises psycopg2's `OperationalError` where the server can't
        be reached: then what is not answered may be booked or not, and can be sent again.
        """
        outcomes: list[Outcome] = []
        for start in range(0, len(requests), BATCH_SIZE):
            outcomes += self._handle_together(requests[start : start + BATCH_SIZE])
        return outcomes

    def _handle_together(self, requests: Sequence[Request]) -> list[Outcome]:
        """Handle requests in one transaction, or in as few as their order allows."""
        outcomes: list[Outcome] = []
        waiting = list(requests)
        while waiting:
            try:
                wait = GATHERED_WAIT_SECONDS if len(waiting) > 1 else None
                outcomes += self._attempt(waiting, wait)
                return outcomes
            except _GaveUp as stop:
                # What stood before it goes first, then it by itself, then the rest.
                if stop.index:
                    outcomes += self._handle_together(waiting[: stop.index])
                outcomes.append(self._handle_alone(waiting[stop.index], None))
                waiting = waiting[stop.index + 1 :]
            except psycopg2.errors.LockNotAvailable:
                # The lock was waited for: whoever does not need it must not wait again.
                for request in waiting:
                    outcomes.append(self._handle_alone(request, ALONE_WAIT_SECONDS))
                return outcomes
        return outcomes

    def _handle_alone(self, request: Request, lock_timeout_seconds: float | None) -> Outcome:
        try:
            return self._attempt([request], lock_timeout_seconds)[0]
        except _GaveUp as stop:
            return self._conclude(request, stop.reason)
        except psycopg2.errors.LockNotAvailable:
            return _refused(
                Refusal(
                    "request_in_progress",
                    "The same request, or another on this member, is still running: "
                    "repeat it with the same Idempotency-Key.",
                )
            )

    def _attempt(
        self, requests: Sequence[Request], lock_timeout_seconds: float | None
    ) -> list[Outcome]:
        """One transaction, again where another one was faster with an id."""
        attempt = 0
        others: frozenset[str] = frozenset()
        while attempt < _ATTEMPTS:
            try:
                return self._transact(requests, others, lock_timeout_seconds)
            except Elsewhere as elsewhere:
                # Each time it is about somebody new, at most once for each request.
                attempt += elsewhere.member_ids <= others
                others |= elsewhere.member_ids
            except (
                psycopg2.errors.UniqueViolation,
                psycopg2.errors.DeadlockDetected,
                psycopg2.errors.SerializationFailure,
                persistence.IntegrityError,
            ) as conflict:
                log.debug("decided again: %s", conflict)
                time.sleep(0.002 * attempt)
                attempt += 1
        # Every attempt lost against another transaction: as good as a lock not to be had.
        raise psycopg2.errors.LockNotAvailable

    def _conclude(self, request: Request, reason: Exception) -> Outcome:
        """The outcome of a request whose transaction was given up: refused, or our fault."""
        if isinstance(reason, Refusal):
            return self._refuse(request, _refused(reason))
        log.error("a request could not be decided", exc_info=reason)
        return _refused(
            Refusal("internal_error", "This is our fault: report it with the request_id.")
        )

    def _refuse(self, request: Request, outcome: Outcome) -> Outcome:
        """Keep a refusal under its key, or answer what another process kept there first."""
        if request.idempotency_key is None:
            return outcome
        for attempt in range(_ATTEMPTS):
            try:
                with self.database.transaction() as cursor:
                    unit = self._load(cursor, needs_of([request]))
                    case = Case(unit, request, self._current(), self._now())
                    known = known_answer(case)
                    if known is not None:
                        return known
                    remember_key(case, outcome, request.command.fingerprint())
                    unit.write(case.now)
                return outcome
            except psycopg2.errors.UniqueViolation:
                time.sleep(0.002 * attempt)
            except psycopg2.errors.LockNotAvailable:
                break
        return outcome

    def _transact(
        self,
        requests: Sequence[Request],
        others: frozenset[str],
        lock_timeout_seconds: float | None,
    ) -> list[Outcome]:
        """`others`: members whom the requests don't name, but are about."""
        with self.database.transaction() as cursor:
            needs = needs_of(list(requests))
            needs.members |= others
            unit = self._load(cursor, needs, lock_timeout_seconds=lock_timeout_seconds)
            if missing := referrers_missing(unit, requests) - others:
                raise Elsewhere(*missing)
            now = self._now()
            outcomes = [
                self._decide(unit, request, now, index) for index, request in enumerate(requests)
            ]
            positions = unit.write(now)
            unit.forget()
            for outcome in outcomes:
                if outcome.last_event in positions:
                    outcome.body["position"] = positions[outcome.last_event]
                elif outcome.last_event is not None and "position" not in outcome.body:
                    outcome.body["position"] = _position(cursor, *outcome.last_event)
        return outcomes

    def _decide(self, unit: UnitOfWork, request: Request, now: datetime, index: int) -> Outcome:
        try:
            return decide(Case(unit, request, self._current(), now))
        except (Elsewhere, psycopg2.Error):
            raise
        except Exception as error:
            raise _GaveUp(index, error) from error

    def _load(
        self,
        cursor: Cursor,
        needs: Needs,
        *,
        lock: bool = True,
        lock_timeout_seconds: float | None = None,
    ) -> UnitOfWork:
        unit = UnitOfWork(cursor, self._mapper)
        unit.load(needs, lock=lock, lock_timeout_seconds=lock_timeout_seconds)
        known = self._programmes
        if unit.programme_version and (
            known is None or known.latest.number != unit.programme_version
        ):
            self._programmes = _read_programmes(cursor)
        return unit

    def _current(self) -> ProgrammeHistory:
        if self._programmes is None:
            raise Refusal("not_found", "No programme is published yet: publish one first.")
        return self._programmes

    def _now(self) -> datetime:
        return self.clock().astimezone(UTC)

    # The programme

    def programmes(self) -> ProgrammeHistory:
        """All versions of the programme; raises `NotFound` before the first."""
        with self.database.transaction() as cursor:
            history = _read_programmes(cursor)
        if history is None:
            raise NotFound("programme", "published")
        self._programmes = history
        return history

    def publish(self, programme: Programme, *, effective_at: datetime, actor: Actor) -> Outcome:
        """Publish a rule set; the same set at the same time answers as the first time.

        Currency, time zone and code can't change once there is a member.
        """
        rules = rules_to_json(programme)
        effective_at = effective_at.astimezone(UTC)
        now = self._now()
        with self.database.transaction() as cursor:
            lock_publishing(cursor)
            history = _read_programmes(cursor)
            if history is not None:
                for version in reversed(history.versions):
                    if version.effective_at == effective_at:
                        if rules_to_json(version.programme) == rules:
                            return Outcome(200, self._published(cursor, version), replayed=True)
                        break
                check_identity(cursor, history.latest.programme, programme)
            number = history.latest.number + 1 if history else 1
            event = ProgrammePublished(
                occurred_at=now,
                meta=Meta(actor),
                version=number,
                effective_at=effective_at,
                rules=rules,
            )
            stored = self._mapper.to_stored_event(RecordedEvent(PROGRAMME_STREAM, number, event))
            recorded_at = append(cursor, [stored], now).recorded_at
            cursor.execute(
                "INSERT INTO programme_versions (number, effective_at, recorded_at, rules) "
                "VALUES (%s, %s, %s, %s)",
                (number, effective_at, recorded_at, rules),
            )
            version = ProgrammeVersion(number, effective_at, recorded_at, programme)
            return Outcome(201, self._published(cursor, version))

    def _published(self, cursor: Cursor, version: ProgrammeVersion) -> Answer:
        cursor.execute(
            "SELECT position FROM events WHERE stream_id = %s AND version = %s",
            (PROGRAMME_STREAM, version.number),
        )
        row = cursor.fetchone()
        return {
            "programme": version.programme.code,
            "version": version.number,
            "effective_at": version.programme.local_time(version.effective_at).isoformat(),
            "position": row[0] if row else None,
        }

    # Reading

    def preview(self, request: Request) -> Answer:
        """What an accrual would earn, and what could be redeemed on the order; books nothing.

        Raises `Refusal` as the accrual would.
        """
        command = request.command
        if not isinstance(command, Accrue):
            raise TypeError("only an accrual can be quoted")
        with self.database.snapshot() as cursor:
            unit = self._load(cursor, Needs(members={command.member_id}), lock=False)
            return quote(Case(unit, request, self._current(), self._now()), command)

    def member(self, member_id: str) -> Answer:
        """The member object of API.md, now; raises `NotFound`."""
        with self.database.snapshot() as cursor:
            member = self._read_member(cursor, member_id)
            now = self._now()
            self._apply_clock(member, now)
            answer = member_answer(member, self._current().at(now).programme, now)
            answer["position"] = _position(cursor, stream_of(member_id), member.state.version)
            return answer

    def benefits(self, member_id: str) -> Answer:
        """What the member is entitled to now; raises `NotFound`."""
        with self.database.snapshot() as cursor:
            member = self._read_member(cursor, member_id)
            return benefits_answer(member, self._reading(self._now()))

    def _read_member(self, cursor: Cursor, member_id: str) -> Member:
        unit = self._load(cursor, Needs(members={member_id}), lock=False)
        member = unit.member(member_id)
        if member is None:
            raise NotFound("member", member_id)
        return member

    def _apply_clock(self, member: Member, now: datetime) -> None:
        """Let what is due take place in memory; totals and version count events only."""
        version, totals = member.state.version, copy.copy(member.state.totals)
        settle(member, self._reading(now))
        member.state.version, member.state.totals = version, totals

    def _reading(self, now: datetime) -> Circumstances:
        """Circumstances of a read, in which what is due takes place in memory only."""
        programmes = self._current()
        meta = Meta(Actor("reading", "system"))
        return Circumstances(now, now, meta, programmes.at(now), programmes)

    def replay(
        self,
        member_id: str,
        *,
        version: int | None = None,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
    ) -> Answer:
        """The member object rebuilt from events: up to a version, an effective, a known time.

        With `version` events alone count; otherwise the clock is applied as of `as_of` (PROGRAMME
        11.5). Raises `NotFound` where there was no such member then.
        """
        events = [
            event
            for event in self.events_of(member_id)
            if (version is None or event.originator_version <= version)
            and (as_of is None or event.event.occurred_at <= as_of)
            and (known_at is None or event.recorded_at is None or event.recorded_at <= known_at)
        ]
        if version is not None and events and events[-1].originator_version != version:
            latest = events[-1].originator_version
            raise NotFound("member", member_id, f" of version {version}: the latest is {latest}")
        if not any(isinstance(one.event, MemberEnrolled) for one in events):
            raise NotFound("member", member_id, " at that time")
        programmes = self.programmes()
        member = rebuilt(events, effective=as_of is not None)
        now = None if version is not None else as_of or known_at or self._now()
        last = events[-1]
        if now is not None:
            self._apply_clock(member, now)
        moment = now or last.event.occurred_at
        rules = programmes.at(moment, known_at).programme
        answer = member_answer(member, rules, now, rules.local_date(moment))
        answer["position"] = last.position
        return answer

    def events_of(self, member_id: str) -> Iterator[RecordedEvent]:
        """A member's events in version order, with position and time of recording."""
        with self.database.transaction() as cursor:
            cursor.execute(_STREAM, (stream_of(member_id),))
            rows = cursor.fetchall()
        for stream_id, version, topic, state, position, recorded_at in rows:
            entry = LogEntry(stream_id, version, topic, bytes(state), position, recorded_at)
            yield self._mapper.to_domain_event(entry)

    def redemption(self, redemption_id: str) -> Answer:
        """A redemption or reservation, now; raises `NotFound`."""
        with self.database.snapshot() as cursor:
            unit = self._load(
                cursor, Needs(entries={("redemption", redemption_id)}, owners=True), lock=False
            )
            entry = unit.entry("redemption", redemption_id)
            member = unit.member(entry.member_id) if entry else None
            redemption = member.redemptions.find(redemption_id) if member else None
            if entry is None or member is None or redemption is None:
                raise NotFound("redemption", redemption_id)
            now = self._now()
            settle(member, self._reading(now))
            answer = redemption_answer(redemption, member, self._current().latest.programme, now)
            version = member.state.version - len(member.new_events)
            answer["position"] = _position(cursor, stream_of(member.member_id), version)
            answer["version"] = version
            return answer

    def find_members(
        self,
        *,
        phone: str | None = None,
        email: str | None = None,
        external_id: str | None = None,
        referral_code: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[str]:
        """Ids of the members with this phone, e-mail, external id or referral code, sorted."""
        asked = {
            "phone": phone,
            "email": email,
            "external_id": external_id,
            "referral_code": referral_code,
        }
        for field, value in asked.items():
            if value is not None:
                return self._ids(_FIND[field], (value, after or "", limit))
        return []

    def due_for_expiry(self, as_of: datetime, after: str | None, limit: int) -> list[str]:
        """Members with a lot past its day at `as_of`, in the order of their ids."""
        programme = (self._programmes or self.programmes()).latest.programme
        return self._ids(_DUE_FOR_EXPIRY, (programme.local_date(as_of), after or "", limit))

    def due_for_release(self, as_of: datetime, after: str | None, limit: int) -> list[str]:
        """Members with pending points that are active at `as_of`, in the order of their ids."""
        programme = (self._programmes or self.programmes()).latest.programme
        return self._ids(_DUE_FOR_RELEASE, (programme.local_date(as_of), after or "", limit))

    def due_for_tier_review(self, as_of: datetime, after: str | None, limit: int) -> list[str]:
        """Members whose tier has ended at `as_of`, in the order of their ids."""
        programme = (self._programmes or self.programmes()).at(as_of).programme
        day = programme.local_date(as_of)
        return self._ids(_DUE_FOR_TIER_REVIEW, (day, after or "", limit))

    def due_for_level_review(self, as_of: datetime, after: str | None, limit: int) -> list[str]:
        """Members not reviewed since the last review day, in the order of their ids."""
        programmes = self._programmes or self.programmes()
        until = programmes.latest.programme.local_date(as_of)
        day = levels.last_review_date(programmes, until)
        if day is None:
            return []
        return self._ids(_DUE_FOR_LEVEL_REVIEW, (day, after or "", limit))

    def due_for_lapse(self, as_of: datetime, after: str | None, limit: int) -> list[str]:
        """Members with a reservation whose time is over at `as_of`, in the order of their ids."""
        return self._ids(_DUE_FOR_LAPSE, (as_of, after or "", limit))

    def last_position(self) -> int:
        """The position of the last event; 0 before the first."""
        with self.database.transaction() as cursor:
            cursor.execute("SELECT position FROM log_head")
            row = cursor.fetchone()
        return row[0] if row else 0

    def _ids(self, statement: str, parameters: tuple[Any, ...]) -> list[str]:
        with self.database.transaction() as cursor:
            cursor.execute(statement, parameters)
            return [member_id for (member_id,) in cursor.fetchall()]


def rebuilt(events: Sequence[RecordedEvent], *, effective: bool = False) -> Member:
    """A member as these events make it, all parts in memory; one must be the enrolment.

    `effective`: the events are those up to an effective time, and late data may have left out
    some that others build on. Debt that was not made then was not paid then.
    """
    first = next((one for one in events if isinstance(one.event, MemberEnrolled)), None)
    if first is None:
        raise NotFound("member", events[0].originator_id if events else "")
    member = Member.replayed(first.event)
    for recorded in events:
        if recorded is not first:
            member.state.version = recorded.originator_version - 1
            event = recorded.event
            member.replay(as_it_was(event, member) if effective else event)
    return member


def _refused(refusal: Refusal) -> Outcome:
    return Outcome(refusal.status, refusal.body())


def _read_programmes(cursor: Cursor) -> ProgrammeHistory | None:
    cursor.execute(_VERSIONS)
    versions = [
        ProgrammeVersion(number, effective_at, recorded_at, programme_from_json(rules))
        for number, effective_at, recorded_at, rules in cursor.fetchall()
    ]
    return ProgrammeHistory(versions) if versions else None


def check_identity(cursor: Cursor, old: Programme, new: Programme) -> None:
    """Refuse what may not change once there is a member: code, currency, time zone."""
    changes = identity_changes(old, new)
    if not changes:
        return
    cursor.execute("SELECT EXISTS (SELECT FROM member_states)")
    row = cursor.fetchone()
    if row and row[0]:
        paths = ", ".join(change.path for change in changes)
        raise Refusal(
            "invalid_request",
            f"{paths} can't change once there are members: start a ledger of its own for it.",
            {change.path: [f"is {change.old!r} and stays so"] for change in changes},
        )


def _position(cursor: Cursor, stream_id: str, version: int) -> int | None:
    cursor.execute(
        "SELECT position FROM events WHERE stream_id = %s AND version = %s", (stream_id, version)
    )
    row = cursor.fetchone()
    return row[0] if row else None
