"""Lone requests that arrive together are booked together (group commit, DESIGN 2.3).

A commit waits for the disk, and the log admits one transaction at a time; so while one batch is
being committed the next gathers. Nobody waits for a batch to fill.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from typing import Final

from ledger.ledger import Ledger
from ledger.requests import Outcome, Request

_STOP: Final = None


class Committer:
    """One thread that hands gathered requests to the ledger; make one per process."""

    def __init__(self, ledger: Ledger, max_batch: int = 128) -> None:
        """`max_batch`: most requests of one transaction."""
        self._ledger = ledger
        self._max_batch = max_batch
        self._waiting: queue.SimpleQueue[tuple[Request, Future[Outcome]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> Outcome:
        """Book a request; blocks until it is committed, or raises what the ledger raised."""
        future: Future[Outcome] = Future()
        self._waiting.put((request, future))
        return future.result()

    def close(self) -> None:
        """Finish what waits, then stop."""
        self._waiting.put(_STOP)
        self._thread.join()

    def _run(self) -> None:
        while True:
            first = self._waiting.get()
            if first is _STOP:
                return
            batch = [first]
            stopping = False
            while len(batch) < self._max_batch:
                try:
                    following = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if following is _STOP:
                    stopping = True
                    break
                batch.append(following)
            self._book(batch)
            if stopping:
                return

    def _book(self, batch: list[tuple[Request, Future[Outcome]]]) -> None:
        try:
            outcomes = self._ledger.handle([request for request, _ in batch])
        except Exception as error:
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            future.set_result(outcome)
