"""Members: enrolment, frozen and closed, and how they stood in the past (1, 4.5, 11.5, 13)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest
from shop import OpenShop, Shop, local, rules

from ledger import requests as r
from ledger.errors import NotFound

LADDER = """
[[tiers]]
code = "regular"
[[tiers]]
code = "silver"
spend = "2000.00"
repurchases = 2

[levels]
bands = [ { code = "ordinary", from = 0 }, { code = "active", from = 51 } ]

[segments]
core = { spend = "5000.00", repurchases = 4, activities_30d = 2 }
potential = { spend = "2000.00", repurchases = 2, activities_30d = 1 }
dormant = { enrolled_months = 6, spend_below = "500.00", idle_months = 6 }
otherwise = "basic"

[lifecycle]
"""


def test_a_new_member_starts_in_the_first_of_everything(open_shop: OpenShop) -> None:
    shop = open_shop(rules(LADDER))
    answer = shop.does(r.Enrol(member_id="jim", joined_at=local("2026-04-30 23:30")))
    referral_code = answer["referral_code"]
    assert answer == {
        "member_id": "jim",
        "status": "active",
        "joined_at": "2026-04-30T23:30:00+08:00",
        "referral_code": referral_code,
        "tier": {"code": "regular", "since": "2026-04-30", "until": None, "extended": False},
        "level": "ordinary",
        "segment": "basic",
        "lifecycle": "new",
        "progress": answer["progress"],
        "balance": {"available": 0, "pending": 0, "reserved": 0, "debt": 0},
        "lots": [],
        "totals": {
            "spend": "0.00", "orders": 0, "repurchases": 0, "granted": 0, "restored": 0,
            "redeemed": 0, "expired": 0, "clawed_back": 0, "adjusted": 0,
        },
        "flags": [],
        "version": 1,
        "position": 4,
        "issued": [],
        "referral": None,
    }  # fmt: skip
    of_enrolment = {"issued", "referral"}
    assert shop.member("jim") == {
        name: value for name, value in answer.items() if name not in of_enrolment
    }
    assert len(referral_code) == 6


def test_7_where_a_section_is_off_there_is_nothing_of_it(shop: Shop) -> None:
    member = shop.member("li-lei")
    assert [member[name] for name in ("tier", "level", "segment", "lifecycle")] == [None] * 4


def test_7_before_the_first_review_a_member_is_ordinary_even_for_an_order_before_joining(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(rules(LADDER, earning={"level_multipliers": {"ordinary": "1.1"}}))
    late = shop.buys("li-lei", "o-1", "10.00", on="2023-12-31 10:00")  # joined on 2 January
    assert late["points"] == 11


def test_personal_data_stays_out_of_the_log(shop: Shop) -> None:
    shop.does(
        r.Enrol(
            member_id="lucy", name="露西·金", phone="+8613800000001", email="Lucy@example.com",
            external_id="crm-7", birthday=date(1990, 5, 4), tags=["母婴"], consents={"sms": True},
        )
    )  # fmt: skip
    with shop.database.transaction() as cursor:
        cursor.execute("SELECT string_agg(convert_from(state, 'UTF8'), ' ') FROM events")
        ((log,),) = cursor.fetchall()
        cursor.execute("SELECT string_agg(answer, ' ') FROM directory")
        ((answers,),) = cursor.fetchall()
    for secret in ("露西", "13800000001", "example.com", "crm-7", "1990", "母婴"):
        assert secret not in log
        assert secret not in answers
    find = shop.ledger.find_members
    assert find(phone="+8613800000001") == ["lucy"]
    assert find(email="lucy@EXAMPLE.com") == ["lucy"]
    assert find(external_id="crm-7") == ["lucy"]
    assert find(referral_code=shop.member("lucy")["referral_code"]) == ["lucy"]
    assert find(phone="+8613800000002") == []


def test_members_are_found_page_by_page_in_the_order_of_their_ids(shop: Shop) -> None:
    for name in ("c", "a", "b"):
        shop.does(r.Enrol(member_id=name, phone="+86139"))
    find = shop.ledger.find_members
    assert find(phone="+86139", limit=2) == ["a", "b"]
    assert find(phone="+86139", limit=2, after="b") == ["c"]


def test_a_member_enrols_once(shop: Shop) -> None:
    command = r.Enrol(member_id="jim", name="Jim Green")
    first = shop.does(command)
    shop.at("2026-05-02 12:00")
    assert shop.does(command) == first
    with shop.refusing("already_recorded"):
        shop.does(r.Enrol(member_id="jim", name="James Green"))
    assert shop.events("jim")[0].referrer_id is None


def test_a_member_without_an_id_gets_one_and_a_code_of_a_friend_is_kept(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(rules("[referral]\nreferrer_points = 100\n"))
    friend = shop.member("li-lei")["referral_code"]
    made = shop.does(r.Enrol(name="Lily", referral_code=friend))
    (enrolled,) = shop.events(made["member_id"])
    assert enrolled.referrer_id == "li-lei"
    with shop.refusing("not_found"):
        shop.does(r.Enrol(member_id="kate", referral_code="NOBODY"))


# Frozen and closed


def test_4_5_a_frozen_member_neither_earns_nor_redeems_and_is_told_so(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "500.00")
    shop.reserves("li-lei", "r-held", 100, "o-cot")
    answer = shop.does(r.Freeze(member_id="li-lei", reason="lost card"))
    assert answer["status"] == shop.member("li-lei")["status"] == "frozen"
    verbs: list[Callable[[], object]] = [
        lambda: shop.buys("li-lei", "o-2", "10.00"),
        lambda: shop.redeems("li-lei", "r-2", 100, "o-cot"),
        lambda: shop.reserves("li-lei", "r-2", 100, "o-cot"),
        lambda: shop.captures("r-held"),
    ]
    for verb in verbs:
        with shop.refusing("member_frozen"):
            verb()
    shop.does(r.Unfreeze(member_id="li-lei", reason="card found"))
    shop.captures("r-held")
    assert shop.buys("li-lei", "o-2", "10.00")["balance"]["available"] == 410


@pytest.mark.parametrize("status", ["frozen", "closed"])
def test_4_5_refunds_releases_and_expiry_still_work(shop: Shop, status: str) -> None:
    shop.buys("li-lei", "o-old", "100.00", on="2025-05-01 10:00")
    shop.buys("li-lei", "o-1", "500.00")
    shop.reserves("li-lei", "r-1", 200, "o-cot")
    shop.reserves("li-lei", "r-2", 100, "o-cot")
    verb = r.Freeze if status == "frozen" else r.Close
    assert shop.does(verb(member_id="li-lei", reason="gone"))["status"] == status
    shop.releases("r-1")
    assert shop.refunds("o-1", "f-1", "100.00")["points_clawed_back"] == 100
    shop.at("2026-05-02 00:00")
    assert shop.lapses("li-lei") + shop.expires("li-lei") == 2
    assert shop.member("li-lei")["status"] == status
    assert shop.available("li-lei") == 400


def test_4_5_a_closed_member_stays_closed(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "500.00")
    closed = shop.does(r.Close(member_id="li-lei", reason="moved away"))
    assert (closed["status"], closed["balance"]["available"]) == ("closed", 500)
    for command in (
        r.Freeze(member_id="li-lei", reason="?"),
        r.Unfreeze(member_id="li-lei", reason="?"),
        r.Adjust(member_id="li-lei", adjustment_id="a-1", points=1, reason="?"),
    ):
        with shop.refusing("member_closed"):
            shop.does(command)
    with shop.refusing("member_closed"):
        shop.buys("li-lei", "o-2", "10.00")
    with shop.refusing("member_closed"):
        shop.redeems("li-lei", "r-1", 100, "o-cot")


def test_saying_it_twice_changes_nothing(shop: Shop) -> None:
    for command in (
        r.Freeze(member_id="li-lei", reason="lost card"),
        r.Unfreeze(member_id="li-lei", reason="found"),
        r.Close(member_id="li-lei", reason="moved away"),
    ):
        first = shop.does(command)
        before = shop.everything_stored()
        assert shop.does(command)["version"] == first["version"]
        assert shop.everything_stored() == before
    with shop.refusing("not_found"):
        shop.does(r.Freeze(member_id="nobody", reason="?"))


@pytest.mark.parametrize(
    "command",
    [
        r.Freeze(member_id="li-lei", reason="lost card"),
        r.Unfreeze(member_id="li-lei", reason="found"),
        r.Close(member_id="li-lei", reason="moved away"),
        r.Adjust(member_id="li-lei", adjustment_id="a-big", points=9999, reason="goodwill"),
    ],
    ids=["freeze", "unfreeze", "close", "an adjustment that waits"],
)
def test_4_3_every_answer_counts_a_reservation_past_its_time_as_lapsed(
    open_shop: OpenShop, command: r.Command
) -> None:
    shop = open_shop(rules(limits={"adjustment_needs_approval_over": 5000}))
    shop.buys("li-lei", "o-1", "500.00")
    shop.reserves("li-lei", "r-1", 200, "o-cot")
    shop.at("2026-05-01 12:15")
    answer = shop.does(command)
    assert answer["balance"] == shop.balance("li-lei")
    assert answer["balance"] == {"available": 500, "pending": 0, "reserved": 0, "debt": 0}


def test_if_match_refuses_a_member_that_has_changed_since(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "10.00")
    before = shop.everything_stored()
    freeze = r.Freeze(member_id="li-lei", reason="lost card")
    refused = shop.ask(freeze, version=1, key="k-1")
    assert (refused.status, refused.body["code"]) == (412, "version_mismatch")
    assert shop.everything_stored() == before
    assert shop.ask(freeze, version=2, key="k-1").status == 200  # the key is still free


# How it stood (11.5)


def test_11_5_as_of_includes_what_occurred_at_that_very_moment(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "100.00", on="2026-04-01 10:00")
    for moment, available in (
        ("2026-04-01 09:59:59.999999", 0),
        ("2026-04-01 10:00", 100),
    ):
        assert shop.then("li-lei", moment)["available"] == available
    with pytest.raises(NotFound):
        shop.ledger.replay("li-lei", as_of=local("2024-01-02 08:59:59"))
    joined = shop.ledger.replay("li-lei", as_of=local("2024-01-02 09:00"))
    assert (joined["version"], joined["lots"]) == (1, [])
    with pytest.raises(NotFound):
        shop.ledger.replay("nobody")


def test_11_5_known_at_hides_what_was_recorded_later(shop: Shop) -> None:
    shop.at("2026-05-01 12:00").buys("li-lei", "o-1", "100.00")
    shop.at("2026-05-02 12:00").buys("li-lei", "o-late", "50.00", on="2026-04-20 10:00")
    shop.at("2026-05-03 12:00").refunds("o-1", "f-1", "40.00", on="2026-05-02 10:00")
    replay = shop.ledger.replay

    def available(as_of: str | None, known_at: str) -> int:
        balance = replay("li-lei", as_of=local(as_of) if as_of else None, known_at=local(known_at))[
            "balance"
        ]
        return int(balance["available"])

    assert available(None, "2026-05-01 12:00") == 100
    assert available(None, "2026-05-02 11:59") == 100
    assert available(None, "2026-05-02 12:00") == 150
    assert available(None, "2026-05-03 12:00") == 110
    # both: what was known on the 1st of the 25th of April, and what is known now
    assert available("2026-04-25 10:00", "2026-05-01 12:00") == 0
    assert available("2026-04-25 10:00", "2026-05-03 12:00") == 50
    assert available("2026-05-02 10:00", "2026-05-02 12:00") == 150
    assert available("2026-05-02 10:00", "2026-05-03 12:00") == 110


def test_11_5_a_version_is_rebuilt_from_events_alone_without_a_clock(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "300.00", on="2025-04-30 10:00")
    shop.reserves("li-lei", "r-1", 100, "o-cot", on="2026-04-29 10:00")
    balances = [shop.ledger.replay("li-lei", version=version)["balance"] for version in (1, 2, 3)]
    assert [(one["available"], one["reserved"]) for one in balances] == [
        (0, 0),
        (300, 0),
        (200, 100),
    ]
    for version in (0, 4, 99):
        with pytest.raises(NotFound):
            shop.ledger.replay("li-lei", version=version)


def test_an_answer_says_the_version_and_position_that_the_member_then_has(shop: Shop) -> None:
    shop.buys("han-meimei", "o-hers", "5.00")
    answers = [
        shop.buys("li-lei", "o-1", "500.00"),
        shop.redeems("li-lei", "r-1", 100, "o-cot"),
        shop.reserves("li-lei", "r-2", 100, "o-cot"),
        shop.captures("r-2"),
        shop.refunds("o-1", "f-1", "10.00"),
        shop.adjusts("li-lei", "a-1", 10),
        shop.does(r.Freeze(member_id="li-lei", reason="?")),
    ]
    for answer in answers:
        past = shop.ledger.replay("li-lei", version=answer["version"])
        assert past["position"] == answer["position"]
        assert past["balance"] == answer["balance"]
    assert shop.member("li-lei")["position"] == answers[-1]["position"]
    assert shop.ledger.last_position() == answers[-1]["position"]
