"""A programme's own rules: local dates, validity, versions, what changes (PROGRAMME 1, 3.1)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from ledger.programme import Programme, programme_from_json, rules_to_json
from ledger.programme.dates import add_months, end_of
from ledger.programme.sections import Campaign, PointsRules, Texts, Tier, Validity
from ledger.programme.versions import (
    Change,
    ProgrammeHistory,
    ProgrammeVersion,
    differences,
    identity_changes,
)


def programme(**settings: Any) -> Programme:
    given = {"code": "test", "currency": "CNY", "time_zone": "Asia/Shanghai", **settings}
    return Programme(**given)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def day(text: str) -> date:
    return date.fromisoformat(text)


@pytest.mark.parametrize(
    ("validity", "earned_on", "expires_on"),
    [
        ({"years": 1}, "2026-05-01", "2027-05-01"),
        ({"years": 1}, "2027-02-28", "2028-02-28"),
        ({"years": 1}, "2028-02-29", "2029-02-28"),
        ({"years": 4}, "2028-02-29", "2032-02-29"),
        ({"years": 1}, "2026-12-31", "2027-12-31"),
        ({"months": 1}, "2026-01-31", "2026-02-28"),
        ({"months": 1}, "2028-01-31", "2028-02-29"),
        ({"months": 18}, "2026-08-31", "2028-02-29"),
        ({"months": 6}, "2026-08-31", "2027-02-28"),
        ({"months": 12}, "2028-02-29", "2029-02-28"),
        ({"years": 1, "months": 6}, "2026-12-31", "2028-06-30"),
    ],
)
def test_3_1_points_are_good_through_the_same_date_later(
    validity: dict[str, int], earned_on: str, expires_on: str
) -> None:
    rules = programme(points=PointsRules(validity=Validity(**validity)))
    assert rules.expires_on(day(earned_on)) == day(expires_on)


@pytest.mark.parametrize(
    ("align", "earned_on", "expires_on"),
    [
        ("day", "2026-02-01", "2027-02-01"),
        ("month", "2026-02-01", "2027-02-28"),
        ("month", "2027-02-28", "2028-02-29"),
        ("month", "2026-01-31", "2027-01-31"),
        ("quarter", "2026-02-01", "2027-03-31"),
        ("quarter", "2026-04-01", "2027-06-30"),
        ("quarter", "2026-09-30", "2027-09-30"),
        ("quarter", "2026-10-01", "2027-12-31"),
        ("year", "2026-01-01", "2027-12-31"),
        ("year", "2026-12-31", "2027-12-31"),
    ],
)
def test_3_1_validity_may_be_prolonged_to_the_end_of_a_period(
    align: Any, earned_on: str, expires_on: str
) -> None:
    rules = programme(points=PointsRules(align_expiry=align))
    assert rules.expires_on(day(earned_on)) == day(expires_on)


def test_3_1_points_without_validity_never_expire() -> None:
    rules = programme(points=PointsRules(validity="none", align_expiry="year"))
    assert rules.expires_on(day("2026-05-01")) is None


@pytest.mark.parametrize(
    ("before", "months", "after"),
    [
        ("2026-03-31", -1, "2026-02-28"),
        ("2026-01-15", -1, "2025-12-15"),
        ("2026-12-31", 2, "2027-02-28"),
        ("2028-02-29", -12, "2027-02-28"),
        ("2026-05-01", 0, "2026-05-01"),
    ],
)
def test_months_clamp_to_the_end_of_a_shorter_month(before: str, months: int, after: str) -> None:
    assert add_months(day(before), months) == day(after)


def test_a_period_ends_on_its_last_day() -> None:
    assert end_of(day("2028-02-10"), "month") == day("2028-02-29")
    assert end_of(day("2026-05-05"), "quarter") == day("2026-06-30")


@pytest.mark.parametrize(
    ("zone", "expires_on", "expired_at"),
    [
        ("Asia/Shanghai", "2027-05-01", "2027-05-02T00:00:00+08:00"),
        ("America/Los_Angeles", "2027-05-01", "2027-05-02T00:00:00-07:00"),
        ("America/Los_Angeles", "2027-12-31", "2028-01-01T00:00:00-08:00"),
        ("Europe/Berlin", "2026-03-28", "2026-03-29T00:00:00+01:00"),  # forward at 02:00
        ("Europe/Berlin", "2026-03-29", "2026-03-30T00:00:00+02:00"),
        ("Europe/Berlin", "2026-10-25", "2026-10-26T00:00:00+01:00"),
        ("America/Sao_Paulo", "2018-11-03", "2018-11-04T01:00:00-02:00"),  # no midnight
        ("Africa/Cairo", "2026-04-23", "2026-04-24T01:00:00+03:00"),  # no midnight
        ("America/Havana", "2026-10-31", "2026-11-01T00:00:00-04:00"),  # midnight comes twice
        ("America/Toronto", "1919-03-30", "1919-03-31T00:30:00-04:00"),  # skipped from 23:30
        ("Pacific/Apia", "2011-12-29", "2011-12-31T00:00:00+14:00"),  # no 30 December
        ("Pacific/Kiritimati", "2026-12-31", "2027-01-01T00:00:00+14:00"),
    ],
)
def test_3_1_points_expire_at_the_first_instant_of_the_next_local_day(
    zone: str, expires_on: str, expired_at: str
) -> None:
    rules = programme(time_zone=zone)
    expiry = rules.expiry_moment(day(expires_on))
    assert expiry.isoformat() == expired_at
    assert rules.local_date(expiry - timedelta(microseconds=1)) == day(expires_on)


def test_failures_17_the_programmes_zone_decides_the_date_not_the_visitors() -> None:
    shanghai = programme()
    # One instant, said by a visitor in Los Angeles, by the server, and by the till.
    for said in (
        "2026-05-01T09:30:00-07:00",
        "2026-05-01T16:30:00+00:00",
        "2026-05-02T00:30:00+08:00",
    ):
        assert shanghai.local_date(moment(said)) == day("2026-05-02")
        assert shanghai.expires_on(shanghai.local_date(moment(said))) == day("2027-05-02")
        assert shanghai.local_time(moment(said)).isoformat() == "2026-05-02T00:30:00+08:00"


def test_failures_17_the_hour_that_comes_twice_is_two_hours() -> None:
    berlin = programme(time_zone="Europe/Berlin")
    first = berlin.local_time(moment("2026-10-25T00:30:00+00:00"))
    second = berlin.local_time(moment("2026-10-25T01:30:00+00:00"))
    assert (first.hour, second.hour) == (2, 2)
    assert second - first == timedelta(hours=1)


def test_4_1_a_hundred_points_are_worth_ten_yuan_exactly() -> None:
    rules = programme()
    assert str(rules.points_value(100)) == "10.00"
    assert str(rules.points_value(1)) == "0.10"
    assert rules.points_value(1_000_000_000) == Decimal("100000000.00")
    assert rules.points_value(0) == 0


def test_6_3_a_tier_without_keep_figures_is_kept_by_those_that_reach_it() -> None:
    gold = Tier(code="gold", spend=Decimal("10000.00"), repurchases=5)
    assert (gold.to_keep.spend, gold.to_keep.repurchases) == (Decimal("10000.00"), 5)


def test_2_8_a_campaign_runs_from_its_start_until_before_its_end() -> None:
    member_day = Campaign(
        code="member_day",
        from_=moment("2026-08-08T00:00:00+08:00"),
        until=moment("2026-08-09T00:00:00+08:00"),
        multiplier=Decimal(2),
    )
    assert not member_day.in_force(moment("2026-08-07T15:59:59+00:00"))
    assert member_day.in_force(moment("2026-08-07T16:00:00+00:00"))
    assert not member_day.in_force(moment("2026-08-09T00:00:00+08:00"))


def test_a_text_in_one_language_stands_in_for_the_other() -> None:
    assert Texts(zh="金卡会员").in_language("en") == "金卡会员"
    assert Texts(zh="金卡会员", en="Gold").in_language("en") == "Gold"


# Versions


def version(
    number: int, effective_at: str, recorded_at: str | None = None, **settings: Any
) -> ProgrammeVersion:
    return ProgrammeVersion(
        number, moment(effective_at), moment(recorded_at or effective_at), programme(**settings)
    )


FIRST = version(1, "2026-06-01T00:00:00+08:00")
JULY = version(2, "2026-07-01T00:00:00+08:00", "2026-06-10T00:00:00+08:00")
LATE_MAY = version(3, "2026-05-15T00:00:00+08:00", "2026-06-20T00:00:00+08:00")
JULY_AGAIN = version(4, "2026-07-01T00:00:00+08:00", "2026-06-25T00:00:00+08:00")
HISTORY = ProgrammeHistory([LATE_MAY, JULY, JULY_AGAIN, FIRST])


@pytest.mark.parametrize(
    ("occurred_at", "number"),
    [
        ("2017-01-01T00:00:00+08:00", 1),  # the first covers all earlier time
        ("2026-05-14T23:59:59+08:00", 1),
        ("2026-05-15T00:00:00+08:00", 3),  # published later, effective in the past
        ("2026-06-15T00:00:00+08:00", 3),  # the first was there before every other
        ("2026-06-30T23:59:59+08:00", 3),
        ("2026-07-01T00:00:00+08:00", 4),  # of two for one moment the later published
        ("2027-01-01T00:00:00+08:00", 4),
    ],
)
def test_1_the_version_in_force_when_it_happened_decides(occurred_at: str, number: int) -> None:
    assert HISTORY.at(moment(occurred_at)).number == number


@pytest.mark.parametrize(
    ("known_at", "number"),
    [
        ("2026-05-01T00:00:00+08:00", 1),  # none known: the first
        ("2026-06-05T00:00:00+08:00", 1),
        ("2026-06-10T00:00:00+08:00", 2),
        ("2026-06-20T00:00:00+08:00", 2),
        ("2026-06-25T00:00:00+08:00", 4),
    ],
)
def test_11_5_versions_recorded_later_were_not_known(known_at: str, number: int) -> None:
    assert HISTORY.at(moment("2026-08-01T00:00:00+08:00"), moment(known_at)).number == number


def test_failures_18_a_new_version_leaves_the_expiry_decided_before_it() -> None:
    before = ProgrammeHistory([version(1, "2026-01-01T00:00:00+08:00")])
    shorter = version(
        2,
        "2026-06-01T00:00:00+08:00",
        points=PointsRules(validity=Validity(months=3)),
    )
    after = before.followed_by(shorter)
    earned_at = moment("2026-05-01T12:00:00+08:00")
    assert after.at(earned_at) == before.at(earned_at)
    rules = after.at(earned_at).programme
    assert rules.expires_on(rules.local_date(earned_at)) == day("2027-05-01")
    later = after.at(moment("2026-06-01T12:00:00+08:00")).programme
    assert later.expires_on(day("2026-06-01")) == day("2026-09-01")


def test_a_history_has_a_first_version_and_a_latest() -> None:
    assert (HISTORY.first.number, HISTORY.latest.number) == (1, 4)
    with pytest.raises(ValueError, match="at least one version"):
        ProgrammeHistory([])


# What changes


def test_differences_name_each_setting_with_its_old_and_new_value() -> None:
    tiers = (Tier(code="regular"), Tier(code="gold", spend=Decimal("10000.00")))
    old = programme(tiers=tiers)
    new = programme(
        points=PointsRules(value=Decimal("0.20")),
        tiers=(
            tiers[0],
            Tier(code="silver", spend=Decimal("1.00")),
            msgspec.structs.replace(tiers[1], spend=Decimal("9000.00")),
        ),
    )
    changes = differences(old, new)
    assert changes[0] == Change("points.value", "0.10", "0.20")
    assert changes[1] == Change("tiers[gold].spend", "10000.00", "9000.00")
    assert (changes[2].path, changes[2].old) == ("tiers[silver]", None)
    assert len(changes) == 3
    assert differences(new, new) == []


def test_differences_name_a_section_that_comes_or_goes_and_an_order_that_changes() -> None:
    first, second = Tier(code="regular"), Tier(code="gold", spend=Decimal("1.00"))
    assert [c.path for c in differences(programme(), programme(tiers=(first,)))] == [
        "tiers[regular]"
    ]
    moved = differences(programme(tiers=(first, second)), programme(tiers=(second, first)))
    assert moved == [Change("tiers (order)", ["regular", "gold"], ["gold", "regular"])]


def test_1_code_currency_and_time_zone_are_a_programmes_identity() -> None:
    other = programme(
        code="other", currency="EUR", time_zone="Europe/Berlin", points=PointsRules(pending=True)
    )
    changes = identity_changes(programme(), other)
    assert [change.path for change in changes] == ["programme", "currency", "time_zone"]
    assert identity_changes(programme(), programme(auto_enrol=True)) == []


# Stored rule sets


def test_a_stored_rule_set_is_sorted_and_has_every_default_written_out() -> None:
    stored = rules_to_json(programme())
    data = msgspec.json.decode(stored)
    assert list(data) == sorted(data)
    assert data["points"]["value"] == "0.10"
    assert data["points"]["restored_min_days"] == 7
    assert data["earning"] is None
    assert programme_from_json(stored) == programme()


def test_a_stored_rule_set_of_an_older_release_takes_defaults_for_newer_keys() -> None:
    older = (
        '{"programme":"test","currency":"CNY","time_zone":"Asia/Shanghai",'
        '"points":{"value":"0.05","forgotten_key":1},"forgotten_section":{}}'
    )
    rules = programme_from_json(older)
    assert rules == programme(points=PointsRules(value=Decimal("0.05")))
    assert rules.limits.redemptions_per_day == 0


def test_moments_are_stored_as_the_programmes_clocks_show_them() -> None:
    rules = programme()
    assert rules.local_time(datetime(2026, 1, 1, tzinfo=UTC)).isoformat() == (
        "2026-01-01T08:00:00+08:00"
    )
