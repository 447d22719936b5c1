"""The service desk reads a member's whole life: every change, with before and after, and why."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from event_log import META, START, Log, accrued, enrolled

from ledger import events as e
from ledger.errors import InvalidRequest
from ledger.store.database import Database
from ledger.summaries import summary_of
from projections.history import _PAGE, history_page
from projections.runner import catch_up

SHANGHAI = ZoneInfo("Asia/Shanghai")

ORDER_OF_A_CORE_MEMBER = e.PointsAccrued(
    occurred_at=START,
    meta=META,
    order_id="o-77",
    amount=Decimal("148.60"),
    points=178,
    spend_points=178,
    unrounded_spend_points="4458/25",
    breakdown=[
        e.BreakdownRow(rule="spend", points=148, base=Decimal("148.60"), rate=Decimal(1)),
        e.BreakdownRow(rule="level:core", points=30, multiplier=Decimal("1.2")),
    ],
    programme_version=3,
    lot=e.LotGrant(
        lot_id="l-1",
        granted=178,
        earned_at=START,
        expires_on=date(2027, 5, 1),
        source="order",
        order_id="o-77",
    ),
    store_id="s-12",
    channel="store",
)


def versions(page: dict[str, object]) -> list[int]:
    entries = page["entries"]
    assert isinstance(entries, list)
    return [entry["version"] for entry in entries]


def test_an_entry_has_every_field_of_the_contract(database: Database) -> None:
    log = Log(database)
    log.add("m-1", enrolled("m-1"), ORDER_OF_A_CORE_MEMBER)
    catch_up(database)
    page = history_page(database, "m-1", zone=SHANGHAI)
    entry = page["entries"][1]
    recorded_at = entry.pop("recorded_at")
    assert datetime.fromisoformat(recorded_at).utcoffset() == timedelta(hours=8)
    assert entry == {
        "position": 2,
        "version": 2,
        "event": "PointsAccrued",
        "occurred_at": "2026-05-01T12:00:00+08:00",
        "points": 178,
        "balance_before": {"available": 0, "pending": 0, "reserved": 0, "debt": 0},
        "balance_after": {"available": 178, "pending": 0, "reserved": 0, "debt": 0},
        "order_id": "o-77",
        "redemption_id": None,
        "refund_id": None,
        "activity_id": None,
        "code": None,
        "adjustment_id": None,
        "lot_id": None,
        "summary": "148.60 paid at s-12: 148 points, core level ×1.2: 178",
        "summary_zh": "在 s-12 消费 148.60：148 积分，核心等级 ×1.2：178",
        "breakdown": [
            {"rule": "spend", "points": 148, "base": "148.60", "rate": "1"},
            {"rule": "level:core", "points": 30, "multiplier": "1.2"},
        ],
        "actor": {"key": "till-12", "role": "pos"},
        "channel": "store",
        "request_id": "req-1",
        "corrects": None,
    }
    assert page["next_cursor"] is None
    assert page["incomplete"] is False


def test_times_are_the_programmes_where_no_other_zone_is_asked_for(database: Database) -> None:
    log = Log(database)
    log.add("m-1", enrolled("m-1"))
    catch_up(database)
    assert history_page(database, "m-1")["entries"][0]["occurred_at"].endswith("+00:00")
    published = e.ProgrammePublished(
        occurred_at=START,
        meta=META,
        version=1,
        effective_at=START,
        rules='{"time_zone": "Asia/Shanghai"}',
    )
    log.add_event("programme", published)
    catch_up(database)
    entry = history_page(database, "m-1")["entries"][0]
    assert entry["occurred_at"] == "2026-05-01T12:00:00+08:00"


@pytest.fixture
def long_life(database: Database) -> Database:
    """m-1: enrolled, then orders o-2 … o-25, an hour apart; m-2 in between."""
    log = Log(database)
    log.add("m-1", enrolled("m-1"))
    log.add("m-2", enrolled("m-2"))
    for number in range(2, 26):
        at = START + timedelta(hours=number)
        log.add("m-1", accrued(f"o-{number}", 10, at))
        log.add("m-2", accrued(f"p-{number}", 20, at))
    catch_up(database)
    return database


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 7, 24, 25, 26])
def test_pages_follow_each_other_without_gap_or_repeat(
    long_life: Database, order: str, limit: int
) -> None:
    seen: list[int] = []
    cursor = None
    while True:
        page = history_page(long_life, "m-1", order=order, limit=limit, cursor=cursor)  # type: ignore[arg-type]
        seen += versions(page)
        cursor = page["next_cursor"]
        if cursor is None:
            break
        assert len(page["entries"]) == limit
    expected = list(range(1, 26))
    assert seen == (expected if order == "asc" else expected[::-1])


def test_a_cursor_stays_where_it_is_while_the_account_goes_on(long_life: Database) -> None:
    first = history_page(long_life, "m-1", order="desc", limit=5)
    log = Log(long_life)
    log.start_after("m-1", 25)
    log.add("m-1", accrued("o-26", 10))
    catch_up(long_life)
    second = history_page(long_life, "m-1", order="desc", limit=5, cursor=first["next_cursor"])
    assert versions(first) + versions(second) == list(range(25, 15, -1))


def test_history_is_filtered_by_time_and_kind(long_life: Database) -> None:
    start, end = START + timedelta(hours=5), START + timedelta(hours=8)
    assert versions(history_page(long_life, "m-1", start=start, end=end)) == [5, 6, 7]
    assert versions(history_page(long_life, "m-1", kind="MemberEnrolled")) == [1]
    assert versions(history_page(long_life, "m-1", kind="PointsExpired")) == []
    assert versions(history_page(long_life, "m-3")) == []


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("limit", {"limit": 0}),
        ("limit", {"limit": 1001}),
        ("order", {"order": "sideways"}),
        ("kind", {"kind": "PointsLost"}),
        ("cursor", {"cursor": "§"}),
        ("cursor", {"cursor": "bm9uc2Vuc2U"}),
        ("cursor", {"cursor": "ZGVzYy41"}),  # of the other order
    ],
)
def test_what_cannot_be_asked_for_is_refused_and_named(
    database: Database, field: str, given: dict[str, object]
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        history_page(database, "m-1", **given)  # type: ignore[arg-type]
    assert list(refused.value.errors) == [field]


def test_a_page_of_a_long_history_is_found_by_index(database: Database) -> None:
    log = Log(database)
    log.add("m-1", enrolled("m-1"))
    for block in range(10):
        log.add("m-1", *(accrued(f"o-{block}-{number}", 1) for number in range(1000)))
        log.add(f"n-{block}", *(accrued(f"p-{block}-{number}", 1) for number in range(500)))
    catch_up(database)
    with database.transaction() as cursor:
        cursor.execute("ANALYZE view_history.entries")
        asked = {
            "member_id": "m-1", "after": 9000, "start": None, "end": None, "kind": None,
            "limit": 101,
        }  # fmt: skip
        for order in ("asc", "desc"):
            cursor.execute("EXPLAIN (ANALYZE, FORMAT TEXT) " + _PAGE[order], asked)
            plan = "\n".join(row[0] for row in cursor)
            assert "Index Scan" in plan, plan
            assert "entries_pkey" in plan, plan
            assert "Sort" not in plan, plan
            assert "rows=101.00 loops=1" in plan or "rows=101 loops=1" in plan, plan
    assert versions(history_page(database, "m-1", order="desc", limit=2)) == [10001, 10000]


SENTENCES = [
    (enrolled("m-1"), "Enrolled at s-12", "在 s-12 入会"),
    (accrued("o-1", 1), "1.00 paid at s-12: 1 point", "在 s-12 消费 1.00：1 积分"),
    (
        accrued("o-1", 100, amount="100.00", debt_paid=[e.DebtPaid("lot-o-1", "o-0", 40)]),
        "100.00 paid at s-12: 100 points, 40 of them paid debt",
        "在 s-12 消费 100.00：100 积分，其中 40 抵欠",
    ),
    (
        e.PointsRedeemed(
            occurred_at=START, meta=META, redemption_id="r-5", points=500, value=Decimal("50.00"),
            lots_drawn=[], programme_version=1, order_id="o-78",
        ),
        "500 points spent, worth 50.00 on order o-78",
        "使用 500 积分，价值 50.00，订单 o-78",
    ),
    (
        e.PointsReserved(
            occurred_at=START, meta=META, redemption_id="r-5", points=500, value=Decimal("50.00"),
            lots_drawn=[], reserved_until=START + timedelta(minutes=15), programme_version=1,
        ),
        "500 points set aside for 15 min, worth 50.00",
        "预留 500 积分 15 分钟，价值 50.00",
    ),
    (
        e.PointsClawedBack(
            occurred_at=datetime(2026, 5, 2, tzinfo=UTC), meta=META, refund_id="f-1",
            order_id="o-77", points=178, lots_drawn=[], debt=78, waived=0,
        ),
        "178 points of order o-77 taken back for its refund, 78 of them became debt",
        "订单 o-77 退款，收回 178 积分，其中 78 记为欠分",
    ),
    (
        e.PointsAdjusted(
            occurred_at=START, meta=META, adjustment_id="a-1", points=50, reason="goodwill",
        ),
        "Adjusted by +50 points: goodwill",
        "调整 +50 积分：goodwill",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("event", "en", "zh"), SENTENCES, ids=[type(event).__name__ for event, _, _ in SENTENCES]
)
def test_2_11_every_change_has_a_sentence_to_read_out(event: e.Event, en: str, zh: str) -> None:
    assert summary_of(event) == (en, zh)


def test_every_event_of_a_member_has_its_own_sentence() -> None:
    from ledger.summaries import _SENTENCES

    assert set(_SENTENCES) == set(e.MEMBER_EVENTS)
