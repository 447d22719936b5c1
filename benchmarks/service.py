"""The real service, started as its users start it, on data that is thrown away afterwards."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.orders import SPEND_ALONE
from jifen.embedded import EmbeddedPostgres

START_SECONDS: Final = 120
STOP_SECONDS: Final = 60


@dataclass(frozen=True)
class Service:
    """A running `jifen serve`: where it listens, its admin key, its environment."""

    port: int
    key: str
    environment: Mapping[str, str]
    data_dir: Path

    def get(self, path: str) -> tuple[int, Any]:
        """Status and body of a GET."""
        return self._ask(urllib.request.Request(self._url(path)))

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and body of a POST of JSON."""
        return self._ask(
            urllib.request.Request(
                self._url(path),
                data=json.dumps(body).encode(),
                headers={"Content-Type": "application/json"},
            )
        )

    def command(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a `jifen` command beside the service; its output goes to its log."""
        with (self.data_dir / "commands.log").open("ab") as log:
            return subprocess.Popen(
                [*JIFEN, *words], env=dict(self.environment), stdout=log, stderr=log
            )

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def _ask(self, request: urllib.request.Request) -> tuple[int, Any]:
        request.add_header("Authorization", f"Bearer {self.key}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, json.load(refusal)


JIFEN: Final = (sys.executable, "-c", "import sys; from jifen.cli import main; sys.exit(main())")


@contextmanager
def running_service(folder: Path, *, workers: int = 2) -> Iterator[Service]:
    """`jifen serve` with an embedded PostgreSQL below `folder`, ready to answer.

    Raises:
        RuntimeError: it did not become ready; the message ends with the end of its log.
    """
    data_dir = folder / "service"
    data_dir.mkdir()
    key = secrets.token_urlsafe(24)
    port = _free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("JIFEN_")},
        "JIFEN_DATA_DIR": str(data_dir),
        "JIFEN_HOST": "127.0.0.1",
        "JIFEN_PORT": str(port),
        "JIFEN_ADMIN_KEY": key,
        "JIFEN_PROGRAMME": str(SPEND_ALONE),
        "JIFEN_WORKERS": str(workers),
        "JIFEN_LOG_LEVEL": "warning",
    }
    service = Service(port, key, environment, data_dir)
    log = data_dir / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen([*JIFEN, "serve"], env=environment, stdout=output, stderr=output)
    try:
        _wait_until_ready(service, process, log)
        yield service
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOP_SECONDS)
        # Its data lives elsewhere than in the folder that is thrown away, where root runs this.
        EmbeddedPostgres(data_dir).remove()


def _wait_until_ready(service: Service, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at and process.poll() is None:
        try:
            status, _ = service.get("/readyz")
        except OSError:
            status = 0
        if status == 200:
            return
        time.sleep(0.2)
    raise RuntimeError(f"The service did not become ready.\n{log.read_text()[-3000:]}")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
