"""One request being decided, with all that deciding may ask for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from ledger import requests as r
from ledger.answers import Answer
from ledger.errors import InvalidRequest, NotFound, Refusal
from ledger.events import Meta
from ledger.member import Circumstances, Member
from ledger.programme.versions import ProgrammeHistory
from ledger.store.unit_of_work import UnitOfWork

CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far ahead of the ledger's clock a till's may be (API.md, conventions)."""

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Nothing that a till reports happened before."""


class Elsewhere(Exception):  # noqa: N818
    """The command is about members who are not locked in this transaction: decide it again."""

    def __init__(self, *member_ids: str) -> None:
        super().__init__(*member_ids)
        self.member_ids = frozenset(member_ids)


Decided = tuple[int, Answer, Member]
"""HTTP status, body, and the member whose command it was."""


class Case:
    """One request being decided, with all that deciding may ask for."""

    def __init__(
        self, unit: UnitOfWork, request: r.Request, programmes: ProgrammeHistory, now: datetime
    ) -> None:
        self.unit = unit
        self.request = request
        self.programmes = programmes
        self.now = now
        self.others: list[Member] = []

    def at(self, occurred_at: datetime | None) -> Circumstances:
        """The circumstances of something that occurred then (None: now)."""
        if occurred_at is None:
            occurred_at = self.now
        elif occurred_at > self.now + CLOCK_SKEW:
            raise InvalidRequest(
                "occurred_at", "The time lies in the future: send when it happened."
            )
        elif occurred_at < EARLIEST:
            raise InvalidRequest("occurred_at", "The time lies before 1970: send when it happened.")
        meta = Meta(self.request.actor, self.request.request_id)
        version = self.programmes.at(occurred_at)
        return Circumstances(occurred_at, self.now, meta, version, self.programmes)

    def member(self, member_id: str) -> Member:
        """The member, in the version that the caller expects."""
        member = self.unit.member(member_id)
        if member is None:
            raise NotFound("member", member_id)
        return self.as_expected(member)

    def owner_of(self, kind: str, name: str) -> Member:
        """The member to whom an order, redemption or adjustment belongs."""
        entry = self.unit.entry(kind, name)
        if entry is None:
            raise NotFound(kind, name)
        member = self.unit.member(entry.member_id)
        if member is None:
            raise Elsewhere(entry.member_id)
        return self.as_expected(member)

    def other(self, member_id: str) -> Member:
        """A member whom the request does not name, but is about; raises `Elsewhere`."""
        member = self.unit.member(member_id)
        if member is None:
            raise Elsewhere(member_id)
        self.others.append(member)
        return member

    def as_expected(self, member: Member) -> Member:
        """The member, if it stands at the version that If-Match names."""
        expected = self.request.expected_version
        # What this very request has triggered, the caller can't have read.
        version = member.state.version - len(member.new_events)
        if expected is not None and version != expected:
            raise Refusal(
                "version_mismatch",
                f"Member {member.member_id!r} is at version {version}, "
                f"not {expected}: read it again.",
            )
        return member
