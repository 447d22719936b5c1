"""A load generator light enough to share the machine with the server it loads.

Keep-alive sockets, one request in flight on each, no HTTP library: about 15 µs of Python a
request. Runs as a process of its own: `python -m benchmarks.load --help`; prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import random
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Client:
    """A till: one connection, and the request it waits for."""

    connection: socket.socket
    sent_at: float = 0.0
    received: bytes = b""


@dataclass
class Load:
    """Accruals sent by `clients` tills for `seconds`, after `warm_up` seconds that don't count."""

    host: str
    port: int
    key: str
    clients: int
    seconds: float
    members: Sequence[str]
    warm_up: float = 1.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    def run(self) -> dict[str, Any]:
        """Send, wait, measure; seconds and milliseconds of wall time."""
        requests = self._requests()
        ready = selectors.DefaultSelector()
        for _ in range(self.clients):
            connection = socket.create_connection((self.host, self.port), timeout=30)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = Client(connection)
            ready.register(connection, selectors.EVENT_READ, client)
            self._send(client, next(requests))
        counting_from = time.perf_counter() + self.warm_up
        until = counting_from + self.seconds
        waiting = self.clients
        while waiting:
            for key, _ in ready.select():
                client = key.data
                if not self._receive(client, counting_from):
                    continue
                if time.perf_counter() < until:
                    self._send(client, next(requests))
                else:
                    ready.unregister(client.connection)
                    client.connection.close()
                    waiting -= 1
        return self._figures(time.perf_counter() - counting_from)

    def _requests(self) -> Iterator[bytes]:
        head = (
            f"POST /v1/accruals HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Authorization: Bearer {self.key}\r\nContent-Type: application/json\r\n"
        )
        run = f"{time.time_ns():x}"
        chance = random.Random(7)
        number = 0
        while True:
            number += 1
            member = chance.choice(self.members)
            amount = f"{chance.randrange(100, 30_000) / 100:.2f}"
            body = (
                f'{{"member_id":"{member}","order_id":"o-{run}-{number}","amount":"{amount}",'
                f'"store_id":"s-12","channel":"store"}}'
            )
            yield (
                f"{head}Idempotency-Key: k-{run}-{number}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}"
            ).encode()

    @staticmethod
    def _send(client: Client, request: bytes) -> None:
        client.received = b""
        client.sent_at = time.perf_counter()
        client.connection.sendall(request)

    def _receive(self, client: Client, counting_from: float) -> bool:
        """Whether the client's answer is whole now."""
        part = client.connection.recv(65536)
        if not part:
            raise ConnectionError("the server closed a connection that should be kept alive")
        client.received += part
        head, found, body = client.received.partition(b"\r\n\r\n")
        if not found or len(body) < _content_length(head):
            return False
        now = time.perf_counter()
        if now >= counting_from:
            self.latencies.append(now - client.sent_at)
            self.statuses[head[9:12].decode()] += 1
        return True

    def _figures(self, seconds: float) -> dict[str, Any]:
        times = sorted(self.latencies)
        booked = self.statuses["201"]
        return {
            "clients": self.clients,
            "seconds": round(seconds, 3),
            "booked": booked,
            "not_booked": {code: n for code, n in self.statuses.items() if code != "201"},
            "per_second": round(booked / seconds, 1),
            "p50_ms": round(1000 * times[len(times) // 2], 2),
            "p99_ms": round(1000 * times[int(len(times) * 0.99)], 2),
            "max_ms": round(1000 * times[-1], 2),
            "processor_seconds": round(time.process_time(), 2),
        }


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError("the answer has no Content-Length")


def main() -> None:
    """Run one load, as the options say; the API key comes on standard input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--members", required=True, help="member ids, separated by commas")
    options = vars(parser.parse_args())
    members = options.pop("members").split(",")
    print(json.dumps(Load(key=input().strip(), members=members, **options).run()))


if __name__ == "__main__":
    main()
