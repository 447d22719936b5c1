"""A page of history is as of one moment, whatever is written while it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from calling import Api

from ledger.store.database import Cursor, Database
from projections.history import history_page
from projections.rebuilding import rebuild


class Interrupted:
    """A cursor that, after its first statement, lets something else happen."""

    def __init__(self, cursor: Cursor, happen: Callable[[], None]) -> None:
        self._cursor = cursor
        self._happen: Callable[[], None] | None = happen

    def execute(self, *args: Any) -> None:
        """Execute, then let it happen, once."""
        self._cursor.execute(*args)
        happen, self._happen = self._happen, None
        if happen is not None:
            happen()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class InterruptedDatabase(Database):
    """A database in whose first snapshot something happens between two statements."""

    happen: Callable[[], None]
    snapshots = 0

    @contextmanager
    def snapshot(self) -> Iterator[Any]:
        """A snapshot that is interrupted."""
        self.snapshots += 1
        with super().snapshot() as cursor:
            yield Interrupted(cursor, self.happen) if self.snapshots == 1 else cursor


@pytest.fixture
def database(api: Api) -> Iterator[InterruptedDatabase]:
    """The database of the API."""
    made = InterruptedDatabase(api.ledger.database._url)
    yield made
    made.close()


def test_what_is_booked_while_a_page_is_read_is_not_half_in_it(
    api: Api, database: InterruptedDatabase
) -> None:
    member_id = api.member_with(100)
    api.catch_up()

    def book() -> None:
        order = {"member_id": member_id, "order_id": api.name("o"), "amount": "5.00"}
        assert api.post("/v1/accruals", order).status_code == 201
        api.catch_up()

    database.happen = book
    assert versions(history_page(database, member_id)) == [1, 2]
    assert versions(history_page(database, member_id)) == [1, 2, 3]


def test_a_view_that_is_swapped_while_a_page_is_read_lacks_nothing(
    api: Api, database: InterruptedDatabase
) -> None:
    member_id = api.member_with(100)
    api.catch_up()
    database.happen = lambda: rebuild(api.ledger.database, "history")
    page = history_page(database, member_id)
    assert versions(page) == [1, 2]
    assert page["incomplete"] is False
    assert database.snapshots == 2


def versions(page: dict[str, Any]) -> list[int]:
    """The versions on a page."""
    return [entry["version"] for entry in page["entries"]]
