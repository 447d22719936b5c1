"""The embedded server: first start, second start, crash, company, and as root."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from jifen.embedded import EmbeddedPostgres, EmbeddedPostgresError

USER_IN_ANOTHER_PROCESS = """
import sys, time
from pathlib import Path
from jifen.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
print(server.start(), flush=True)
sys.stdin.readline()
server.stop()
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One data directory for all: each test leaves the server stopped and the data whole."""
    folder = tmp_path_factory.mktemp("embedded") / "var"
    yield folder
    with EmbeddedPostgres(folder, throwaway=True):
        pass


def ask(url: str, statement: str) -> object:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None
    finally:
        connection.close()


def keep_178_points(url: str) -> None:
    ask(url, "DROP TABLE IF EXISTS kept")
    ask(url, "CREATE TABLE kept AS SELECT 178 AS points")


def postmaster(data_dir: Path) -> int:
    pid_file = data_dir / "postgres" / "cluster" / "postmaster.pid"
    return int(pid_file.read_text().splitlines()[0])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until_gone(pid: int, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


def another_user(data_dir: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER_IN_ANOTHER_PROCESS, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_second_start_finds_what_the_first_wrote(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as url:
        keep_178_points(url)
        pid = postmaster(data_dir)
    assert until_gone(pid, seconds=2)
    with EmbeddedPostgres(data_dir) as url:
        assert ask(url, "SELECT points FROM kept") == 178


def test_what_was_acknowledged_survives_kill_9_of_the_server(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    url = server.start()
    keep_178_points(url)
    os.kill(postmaster(data_dir), signal.SIGKILL)
    assert until_gone(postmaster(data_dir))
    assert not server.running()

    assert server.start() == url
    assert ask(url, "SELECT points FROM kept") == 178
    server.stop()


def test_lock_files_that_name_some_other_program_do_not_stop_a_start(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    url = server.start()
    os.kill(postmaster(data_dir), signal.SIGKILL)
    assert until_gone(postmaster(data_dir))
    cluster = data_dir / "postgres" / "cluster"
    for lock in (cluster / "postmaster.pid", cluster / ".s.PGSQL.5432.lock"):
        lines = lock.read_text().splitlines()
        lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")

    assert server.start() == url
    server.stop()


def test_throwaway_data_is_gone_only_when_the_last_user_is(tmp_path: Path) -> None:
    data_dir = tmp_path / "var"
    with EmbeddedPostgres(data_dir, throwaway=True) as url:
        with EmbeddedPostgres(data_dir, throwaway=True):
            keep_178_points(url)
        assert ask(url, "SELECT points FROM kept") == 178
    assert not (data_dir / "postgres").exists()


def test_data_in_use_is_not_removed(tmp_path: Path) -> None:
    data_dir = tmp_path / "var"
    with EmbeddedPostgres(data_dir) as url:
        with pytest.raises(EmbeddedPostgresError, match="in use"):
            EmbeddedPostgres(data_dir).remove()
        assert ask(url, "SELECT 1") == 1
    EmbeddedPostgres(data_dir).remove()
    assert not (data_dir / "postgres").exists()


def test_a_second_user_joins_and_leaves_the_server_running(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as url:
        pid = postmaster(data_dir)
        with EmbeddedPostgres(data_dir) as joined:
            assert joined == url
            assert postmaster(data_dir) == pid
        assert ask(url, "SELECT 1") == 1


def test_the_last_user_out_stops_the_server_though_another_started_it(data_dir: Path) -> None:
    starter = another_user(data_dir)
    assert starter.stdout is not None
    url = starter.stdout.readline().strip()
    server = EmbeddedPostgres(data_dir)
    assert server.start() == url
    pid = postmaster(data_dir)

    starter.communicate("\n", timeout=30)
    assert ask(url, "SELECT 1") == 1
    server.stop()
    assert until_gone(pid, seconds=2)


def test_no_server_outlives_a_user_that_was_killed(data_dir: Path) -> None:
    starter = another_user(data_dir)
    assert starter.stdout is not None
    starter.stdout.readline()
    pid = postmaster(data_dir)

    starter.kill()
    starter.communicate()
    assert until_gone(pid)


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir):
        assert os.getsid(postmaster(data_dir)) != os.getsid(0)
        assert os.getpgid(postmaster(data_dir)) != os.getpgid(0)


def test_nobody_else_can_reach_the_server(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as url:
        assert ask(url, "SHOW listen_addresses") == ""
        cluster = data_dir / "postgres" / "cluster"
        assert cluster.stat().st_mode & 0o077 == 0
        assert (data_dir / "postgres").stat().st_mode & 0o077 == 0


def test_an_acknowledged_commit_is_on_the_disk(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as url:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert ask(url, f"SHOW {setting}") == "on"


def test_a_failing_statement_leaves_no_personal_data_in_the_log(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as url:
        ask(url, "CREATE TABLE phones (phone text PRIMARY KEY)")
        ask(url, "INSERT INTO phones VALUES ('+8613800000001')")
        with pytest.raises(psycopg2.IntegrityError):
            ask(url, "INSERT INTO phones VALUES ('+8613800000001')")
    logs = list((data_dir / "postgres" / "log").iterdir())
    assert logs
    text = "".join(log.read_text() for log in logs)
    assert "duplicate key" in text
    assert "13800000001" not in text


def test_a_long_and_odd_path_still_has_a_short_private_socket(tmp_path: Path) -> None:
    data_dir = tmp_path / ("long, and odd: " * 8) / "var"
    with EmbeddedPostgres(data_dir) as url:
        assert ask(url, "SELECT 1") == 1
    with EmbeddedPostgres(data_dir, throwaway=True) as again:
        assert again == url
        assert ask(url, "SELECT 1") == 1


def test_a_clone_that_only_root_can_enter_keeps_its_permissions(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can run a server as somebody else")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    home = closed / "var" / "postgres"
    with EmbeddedPostgres(closed / "var", throwaway=True) as url:
        assert ask(url, "SELECT 1") == 1
        assert closed.stat().st_mode & 0o777 == 0o700
        assert home.is_symlink()
        assert home.stat().st_uid != 0
        target = home.resolve()
    assert not home.is_symlink()
    assert not target.exists()


def test_a_database_that_went_missing_is_not_silently_replaced(tmp_path: Path) -> None:
    link = tmp_path / "postgres"
    link.symlink_to(tmp_path / "gone")
    with pytest.raises(EmbeddedPostgresError, match="which is gone"):
        EmbeddedPostgres(tmp_path).start()


def test_data_of_another_version_is_refused_with_what_to_do(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir):
        version = data_dir / "postgres" / "cluster" / "PG_VERSION"
    version.write_text("15\n")
    with pytest.raises(EmbeddedPostgresError, match="pg_dump"):
        EmbeddedPostgres(data_dir).start()
    version.write_text("18\n")


def test_a_start_that_fails_says_why(data_dir: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="shared_buffers"):
        EmbeddedPostgres(data_dir, settings={"shared_buffers": "a lot"}).start()
