"""The guides' requests work as they stand, one after the other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from calling import Api

from api.app import create_app
from api.keys import create_key
from ledger.events import Actor
from ledger.ledger import Ledger
from ledger.programme import read_programme, shipped_text
from ledger.settings import Settings
from ledger.store.database import Database

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
REQUEST = re.compile(r"```http\n(.+?)\n\n→ (\d+) (\{.+?\})\n```", re.DOTALL)


class Shown(NamedTuple):
    """A request of a guide, and what it says of the answer."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    status: int
    answer: dict[str, Any]


class Guide:
    """A guide, read from top to bottom; `$NAME` stands for what an earlier answer had there."""

    def __init__(self, name: str, **known: str) -> None:
        self._text = (GUIDES / name).read_text(encoding="utf-8")
        self.known = known

    def requests(self) -> Iterator[Shown]:
        """The requests, one after the other, so that each knows the answers before it."""
        blocks = REQUEST.findall(self._text)
        assert len(blocks) == self._text.count("```http") > 0
        for text, status, answer in blocks:
            head, _, body = self._filled_in(text).partition("\n\n")
            first, *headers = head.split("\n")
            method, path = first.split(" ")
            pairs = dict(header.split(": ", 1) for header in headers)
            sent = json.loads(body) if body else None
            yield Shown(method, path, pairs, sent, int(status), json.loads(answer))

    def compare(self, received: Any, shown: Any, where: str) -> None:
        """What the guide shows is there, and all of a list that it shows; there may be more."""
        if isinstance(shown, dict):
            for name, value in shown.items():
                assert name in received, f"{where}.{name}"
                self.compare(received[name], value, f"{where}.{name}")
        elif isinstance(shown, list):
            assert len(received) == len(shown), where
            for number, value in enumerate(shown):
                self.compare(received[number], value, f"{where}.{number}")
        elif isinstance(shown, str) and shown.startswith("$"):
            assert received == self.known.setdefault(shown[1:], received), where
        else:
            assert received == shown, where

    def _filled_in(self, text: str) -> str:
        return re.sub(r"\$([A-Z_]+)", lambda name: self.known[name[1]], text)


@pytest.fixture
def api(new_database: Callable[[], str]) -> Iterator[Api]:
    """A service of its own for each guide."""
    database = Database(new_database())
    ledger = Ledger(database)
    programme = read_programme(shipped_text("retail"))
    ledger.publish(programme, effective_at=ledger.clock(), actor=Actor("test", "admin"))
    keys = {
        name: create_key(database, name=name, roles=[name.partition("-")[0]])[1]
        for name in ("pos", "service", "service-2", "admin")
    }
    yield Api(create_app(ledger, settings=Settings()).test_client(), ledger, keys)
    database.close()


def follow(api: Api, guide: Guide, role: str) -> None:
    """Send what the guide shows; `role` is whose key it is where it shows none."""
    for shown in guide.requests():
        body = {} if shown.body is None else {"json": shown.body}
        answer = api.call(shown.method, shown.path, role=role, headers=shown.headers, **body)
        where = f"{shown.method} {shown.path}"
        assert answer.status_code == shown.status, f"{where}: {answer.text}"
        guide.compare(answer.json, shown.answer, where)


def test_the_requests_of_the_guide_for_tills_answer_as_it_says(api: Api) -> None:
    follow(api, Guide("till.md"), "pos")


def test_the_requests_of_the_guide_for_the_service_desk_answer_as_it_says(api: Api) -> None:
    assert api.post("/v1/members", {"member_id": "m-1001"}).status_code == 201
    order = {"member_id": "m-1001", "order_id": "o-77", "amount": "1000.00"}
    assert api.post("/v1/accruals", order).status_code == 201
    keys = {"SECOND_KEY": api.keys["service-2"], "ADMIN_KEY": api.keys["admin"]}
    guide = Guide("service-desk.md", KEY=api.keys["service"], **keys)
    follow(api, guide, "service")
    assert guide.known["NEW_TILL_KEY"] != guide.known["TILL_KEY"]
