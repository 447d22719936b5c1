"""Versions of a programme: which one decides, what changes, what may not (PROGRAMME 1, 11.5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from ledger.programme.model import Programme
from ledger.programme.report import code_of

IDENTITY = ("programme", "currency", "time_zone")
"""What a programme may not change once it has a member: every lot and date rests on it."""


@dataclass(frozen=True)
class ProgrammeVersion:
    """One publication of a programme: its number (from 1), when it counts, when it was recorded."""

    number: int
    effective_at: datetime
    recorded_at: datetime
    programme: Programme


class ProgrammeHistory:
    """All versions of one programme, and which of them decides."""

    def __init__(self, versions: Iterable[ProgrammeVersion]) -> None:
        """Take at least one version; raises ValueError if there is none."""
        self.versions = tuple(sorted(versions, key=lambda version: version.number))
        if not self.versions:
            raise ValueError("a programme has at least one version")

    @property
    def first(self) -> ProgrammeVersion:
        """The version that covers all time before any other."""
        return self.versions[0]

    @property
    def latest(self) -> ProgrammeVersion:
        """The version published last, whenever it counts."""
        return self.versions[-1]

    def at(self, occurred_at: datetime, known_at: datetime | None = None) -> ProgrammeVersion:
        """The version that decides what occurred then, with what was recorded by `known_at`.

        Of the versions effective by then the latest effective one, and of several effective at
        one moment the one published last. The first version covers all earlier time, so it
        counts as effective before any other, and it stands in where nothing was known yet.
        """
        deciding = self.first
        for version in self.versions[1:]:
            is_known = known_at is None or version.recorded_at <= known_at
            if not is_known or version.effective_at > occurred_at:
                continue
            if deciding is self.first or version.effective_at >= deciding.effective_at:
                deciding = version
        return deciding

    def followed_by(self, version: ProgrammeVersion) -> ProgrammeHistory:
        """The history with one publication more."""
        return ProgrammeHistory((*self.versions, version))


@dataclass(frozen=True)
class Change:
    """One setting that differs between two rule sets; None where it is not there.

    `path` is said as in error messages: `tiers[gold].spend`. Values are as in JSON.
    """

    path: str
    old: Any
    new: Any


def differences(old: Programme, new: Programme) -> list[Change]:
    """What changes from one rule set to the other, in the order of the settings.

    Coupons, tiers and whatever else has a code are compared by code, so that one inserted in the
    middle is one change.
    """
    return list(_changes("", msgspec.to_builtins(old), msgspec.to_builtins(new)))


def identity_changes(old: Programme, new: Programme) -> list[Change]:
    """The differences that are not allowed once the programme has a member."""
    return [change for change in differences(old, new) if change.path in IDENTITY]


def _changes(path: str, old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _table_changes(path, old, new)
    elif _has_codes(old) and _has_codes(new):
        yield from _list_changes(path, old, new)
    else:
        yield Change(path, old, new)


def _table_changes(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for key in dict.fromkeys((*old, *new)):
        yield from _changes(f"{path}.{key}" if path else key, old.get(key), new.get(key))


def _list_changes(path: str, old: list[Any], new: list[Any]) -> Iterator[Change]:
    before = {code_of(element): element for element in old}
    after = {code_of(element): element for element in new}
    for code in dict.fromkeys((*before, *after)):
        yield from _changes(f"{path}[{code}]", before.get(code), after.get(code))
    stayed = [code for code in before if code in after]
    moved = [code for code in after if code in before]
    if stayed != moved:
        yield Change(f"{path} (order)", list(before), list(after))


def _has_codes(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(code_of(element) for element in value)
