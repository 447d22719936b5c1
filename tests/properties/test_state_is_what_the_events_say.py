"""What is stored beside the log is what its events say, at every step of lives led by chance."""

from __future__ import annotations

import pytest
from shop import Shop, rules
from test_views_follow_the_ledger import START, Days

from ledger import requests as r
from ledger.store.database import Database


@pytest.mark.parametrize("seed", range(101, 104))
def test_state_lots_and_parts_are_what_a_replay_makes(database: Database, seed: int) -> None:
    days = Days(seed)
    shop = Shop(database, rules(limits={"adjustment_needs_approval_over": 5000}), START)
    shop.together(*(r.Enrol(member_id=name, joined_at=START) for name in days.members()))
    shop.ledger.clock = days.clock
    booked = 0
    for number in range(200):
        outcome = shop.ask(days.next_command())
        assert outcome.status < 500, outcome.body
        booked += outcome.status < 300
        if number % 20 == 0:
            shop.prove()
    shop.prove()
    assert booked > 100


@pytest.mark.parametrize("seed", range(104, 106))
def test_what_was_known_then_is_the_log_up_to_then(database: Database, seed: int) -> None:
    days = Days(seed)
    shop = Shop(database, rules(), START)
    shop.together(*(r.Enrol(member_id=name, joined_at=START) for name in days.members()))
    shop.ledger.clock = days.clock
    served = []
    for _ in range(120):
        shop.ask(days.next_command())
        served.append((days.now, {name: shop.member(name) for name in days.members()}))
    last_of_moment = dict(served)  # several may be recorded at one moment: the last one stands
    for moment, members in last_of_moment.items():
        for name, member in members.items():
            assert shop.ledger.replay(name, known_at=moment) == member
