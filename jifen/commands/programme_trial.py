"""What `jifen programme check` says of the ledger that is there: what the rules would change."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

import psycopg2.errors

from jifen.postgres_home import has_home
from jifen.wiring import database_url, make_database, make_ledger
from ledger.errors import NotFound
from ledger.programme import Programme
from ledger.rehearsal import rehearse
from ledger.settings import Settings

_MOST_CHANGES = 40


def trial_lines(
    settings: Settings, programme: Programme, effective_at: datetime, count: int
) -> list[str]:
    """What would change, line by line; empty where there is no ledger yet."""
    if settings.database_url is None and not has_home(settings.data_dir):
        return []
    with database_url(settings) as url, closing(make_database(settings, url, "jifen")) as database:
        try:
            trial = rehearse(
                make_ledger(database), programme, effective_at=effective_at, count=count
            )
        except (NotFound, psycopg2.errors.UndefinedTable):
            return []
    return list(_said(trial))


def _said(trial: dict[str, Any]) -> Iterator[str]:
    version, changes = trial["compared_with"], trial["changes"]
    if not changes:
        yield f"Nothing would change: its rules are those of version {version}."
        return
    settings = "1 setting differs" if len(changes) == 1 else f"{len(changes)} settings differ"
    yield f"{settings} from version {version}, in force at {trial['effective_at']}:"
    for change in changes[:_MOST_CHANGES]:
        yield f"  {change['path']}: {_shown(change['old'])} -> {_shown(change['new'])}"
    if len(changes) > _MOST_CHANGES:
        yield f"  and {len(changes) - _MOST_CHANGES} more"
    yield from _earned("orders", trial["orders"])
    yield from _earned("activities", trial["activities"])
    days = trial["earned_then_is_good_through"]
    if days["before"] != days["after"]:
        yield (
            f"Points earned then would be good through {days['after'] or 'for ever'}, "
            f"not {days['before'] or 'for ever'}."
        )
    yield "What was decided before stays: points granted, their last days, tiers."


def _earned(what: str, found: dict[str, Any]) -> Iterator[str]:
    if not found["rehearsed"]:
        return
    before, after = found["points_before"], found["points_after"]
    yield (
        f"The latest {found['rehearsed']} {what}, of {found['members']} members, would earn "
        f"{after} points instead of {before} ({after - before:+d}); "
        f"{found['members_with_more']} members more, {found['members_with_less']} less."
    )
    for example in found["examples"]:
        yield (
            f"  {example['member_id']}, {example['id']} ({example['about']}): "
            f"{example['summary_before']} -> {example['summary_after']}"
        )


def _shown(value: Any) -> str:
    """A setting as a person would say it: of a whole table only what it says."""
    if value is None:
        return "(none)"
    if isinstance(value, dict):
        said = {key: _shown(each) for key, each in value.items() if each not in (None, "", (), [])}
        return ", ".join(f"{key} {text}" for key, text in said.items() if text)
    if isinstance(value, list | tuple):
        return "; ".join(_shown(each) for each in value)
    return str(value)
