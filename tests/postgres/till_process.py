"""A till in a process of its own: `till_process.py DATABASE_URL COUNT` sells COUNT times to 李雷.

Each sale has an order id and an idempotency key made of its number; each answer is printed as
"ORDER POSITION" once it has come. Run again it sells the same again.
"""

from __future__ import annotations

import sys
from decimal import Decimal

from ledger.events import Actor
from ledger.ledger import Ledger
from ledger.requests import Accrue, Request
from ledger.store.database import Database


def main(database_url: str, count: int) -> None:
    """Sell, one by one."""
    database = Database(database_url)
    ledger = Ledger(database)
    for number in range(count):
        order_id = f"o-{number:03d}"
        command = Accrue(member_id="li-lei", order_id=order_id, amount=Decimal("1.00"))
        request = Request(
            command=command, actor=Actor("till-12", "pos"), idempotency_key=f"k-{number}"
        )
        (outcome,) = ledger.handle([request])
        assert outcome.status == 201, outcome.body
        print(order_id, outcome.body["position"], flush=True)
    database.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
