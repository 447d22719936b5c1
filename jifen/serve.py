"""`jifen serve`: the whole service by one command, and its end by one Ctrl-C.

The database first, then the API, the projections and the scheduler, as processes of their own
that are watched and restarted; at the end the same in reverse. The children die with this
process even when it is killed, and the embedded PostgreSQL is then stopped by its keeper.
"""

import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from jifen.embedded import EmbeddedPostgres, EmbeddedPostgresError
from jifen.first_keys import FirstKeys, first_keys
from jifen.processes import Child
from jifen.refused import Refused
from jifen.welcome import address, readiness, welcome
from jifen.wiring import prepared
from ledger.settings import Settings

PARTS = ("api", "projections", "scheduler")
# A thread waits for its commit; what is more than this waits in the server's queue.
BLOCKING_THREADS = 64
BACKPRESSURE = 1024
BACKLOG = 2048
WORKER_STOP_SECONDS = 10
PART_STOP_SECONDS = 15.0
LOOK_SECONDS = 0.2
IMPATIENCE_SECONDS = 60.0


def serve(settings: Settings, without: Collection[str] = ()) -> int:
    """Run the parts of the service but those of `without`, until Ctrl-C or SIGTERM. Returns 0.

    Raises:
        Refused: it can't start as things are; nothing is left running.
        EmbeddedPostgresError: the embedded database does not start.
    """
    parts = [part for part in PARTS if part not in without]
    if not parts:
        raise Refused("With every part left out there is nothing to run.")
    if "api" in parts:
        _require_free_port(settings)
    embedded = None if settings.database_url else EmbeddedPostgres(settings.data_dir)
    try:
        with _sigterm_as_ctrl_c():
            url = _start_database(settings, embedded)
            with prepared(settings, url) as ready:
                keys = first_keys(settings, ready.database)
        Service(settings, url, parts, keys, embedded).run()
    except KeyboardInterrupt:
        pass
    finally:
        if embedded is not None:
            embedded.stop()
    _say("Stopped.")
    return 0


class Service:
    """The running parts of the service, and the one loop that watches them."""

    def __init__(
        self,
        settings: Settings,
        url: str,
        parts: Collection[str],
        keys: FirstKeys,
        embedded: EmbeddedPostgres | None,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._embedded = embedded
        self._stopping = threading.Event()
        self._welcomed = False
        self._impatient_at = time.monotonic() + IMPATIENCE_SECONDS
        logs = _log_folder(settings)
        environment = _environment(settings, url)
        self._metrics = _metrics_folder(settings) if "api" in parts else None
        if self._metrics is not None:
            environment["PROMETHEUS_MULTIPROC_DIR"] = str(self._metrics)
        self._children = [
            Child(part, _command(part, settings), environment, logs and logs / f"{part}.log")
            for part in parts
        ]
        self._serves_api = "api" in parts

    def run(self) -> None:
        """Start everything, watch until told to stop, stop everything."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop_soon)
        try:
            while not self._stopping.is_set():
                self._look_after_database()
                for child in self._children:
                    _say(child.tend())
                self._welcome_when_ready()
                self._stopping.wait(LOOK_SECONDS)
        finally:
            self._stop_children()

    def _stop_soon(self, number: int, frame: FrameType | None) -> None:
        self._stopping.set()

    def _look_after_database(self) -> None:
        if self._embedded is None or self._embedded.running():
            return
        _say("PostgreSQL is gone. It starts again; what was acknowledged is safe.")
        try:
            self._embedded.start()
        except EmbeddedPostgresError as problem:
            _say(f"{problem} The next try is in 5 s.")
            self._stopping.wait(5)
        else:
            _say("PostgreSQL is back.")

    def _welcome_when_ready(self) -> None:
        if self._welcomed:
            return
        if not self._serves_api:
            names = " and ".join(child.name for child in self._children)
            _say(f"Running: {names}, without the API. Ctrl-C stops.")
            self._welcomed = True
        elif (answer := readiness(self._settings)) == "":
            logs = _log_folder(self._settings)
            _say(welcome(self._settings, self._keys, logs, secrets=sys.stdout.isatty()))
            self._welcomed = True
        elif time.monotonic() >= self._impatient_at:
            self._impatient_at = time.monotonic() + IMPATIENCE_SECONDS
            _say(f"Not ready yet: {address(self._settings)}/readyz {answer}")

    def _stop_children(self) -> None:
        """The API first, so that what it has accepted is finished; then the rest."""
        _say("Stopping ...")
        for child in self._children:
            _say(child.stop(PART_STOP_SECONDS))
        if self._metrics is not None:
            _remove(self._metrics)


def _start_database(settings: Settings, embedded: EmbeddedPostgres | None) -> str:
    if settings.database_url:
        return settings.database_url
    assert embedded is not None
    _say(f"PostgreSQL starts, with its data in {settings.data_dir.absolute()} ...")
    return embedded.start()


def _command(part: str, settings: Settings) -> list[str]:
    # -P: a folder named `api` where the command is called must not take the place of ours.
    python = [sys.executable, "-P", "-m"]
    if part != "api":
        return [*python, part]
    return [
        *(*python, "granian", f"{Path(__file__).with_name('wsgi.py')}:make_app", "--factory"),
        *("--interface", "wsgi", "--host", settings.host, "--port", str(settings.port)),
        *("--workers", str(settings.workers), "--blocking-threads", str(BLOCKING_THREADS)),
        *("--backpressure", str(BACKPRESSURE), "--backlog", str(BACKLOG), "--no-ws"),
        *("--respawn-failed-workers", "--respawn-interval", "0.5"),
        *("--workers-kill-timeout", str(WORKER_STOP_SECONDS), "--log-level", "error"),
    ]


def _environment(settings: Settings, url: str) -> dict[str, str]:
    """What the children get: ours, with the database as found, without the chosen secret."""
    kept_back = ("JIFEN_ADMIN_KEY", "PROMETHEUS_MULTIPROC_DIR")
    given = {name: value for name, value in os.environ.items() if name not in kept_back}
    given["JIFEN_DATABASE_URL"] = url
    given["JIFEN_DATA_DIR"] = str(settings.data_dir.absolute())
    given["PYTHONUNBUFFERED"] = "1"
    return given


def _metrics_folder(settings: Settings) -> Path:
    """An empty folder of this process's own, where the API's workers add up what /metrics shows.

    Several services may share a data directory; what those that ended have left is removed.
    """
    folders = settings.data_dir.absolute() / "metrics"
    own = folders / str(os.getpid())
    for folder in folders.glob("*"):
        if folder == own or not _lives(folder.name):
            _remove(folder)
    own.mkdir(parents=True)
    return own


def _lives(name: str) -> bool:
    """Whether a process has this number; False where it is none."""
    try:
        os.kill(int(name), 0)
    except PermissionError:
        return True
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _log_folder(settings: Settings) -> Path | None:
    """Where the children's output goes: to files below a terminal, else where ours goes.

    Under systemd or in a container the log belongs to whoever collects it; on a terminal it would
    bury the keys and the first request.
    """
    return settings.data_dir.absolute() / "logs" if sys.stdout.isatty() else None


def _require_free_port(settings: Settings) -> None:
    try:
        family, _, _, _, where = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(where)
    except OSError as problem:
        raise Refused(
            f"The API can't listen on {settings.host}:{settings.port} ({problem.strerror}). Stop "
            "what listens there, or set JIFEN_HOST or JIFEN_PORT."
        ) from None


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Inside the block SIGTERM interrupts like Ctrl-C, so that a half-made start is undone."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(text: str | None) -> None:
    if text:
        print(text, flush=True)
