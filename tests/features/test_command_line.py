"""`jifen`: every command, its exit status, and its one sentence when it refuses."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg2.errors
import pytest
from psycopg2 import sql

from jifen.cli import main
from jifen.commands.programme_idle import IDLE
from jifen.commands.refusals import as_sentence
from jifen.first_keys import FirstKeys
from jifen.serve import WORKER_STOP_SECONDS
from jifen.welcome import welcome
from ledger.programme import shipped_text
from ledger.settings import Settings
from ledger.store.migrate import MigrationError

COMMANDS = [
    "serve",
    "migrate",
    "import",
    "import orders",
    "programme",
    "programme check",
    "programme publish",
    "jobs",
    "jobs run",
    "rebuild",
    "keys",
    "keys create",
    "keys list",
    "keys rotate",
    "keys revoke",
]
ORDERS = """order_id,member_id,occurred_at,amount
o-1,m-1001,2026-05-01T12:00:00+08:00,148.60
o-2,m-1002,2026-05-01T12:05:00+08:00,20.00
"""
PROGRAMME = 'programme = "trial"\ncurrency = "CNY"\ntime_zone = "Asia/Shanghai"\n'

Capture = pytest.CaptureFixture[str]
Stranger = Callable[[str], str]


@pytest.fixture
def here(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with settings that name a database of its own."""
    for name in [name for name in os.environ if name.startswith("JIFEN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("JIFEN_DATABASE_URL", database_url)
    monkeypatch.setenv("JIFEN_DATA_DIR", str(tmp_path / "var"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(capsys: Capture) -> str:
    """The one sentence on standard error; nothing may be on standard output."""
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    assert printed.err.startswith("jifen: ")
    return printed.err


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_help_with_an_example(command: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as end:
        main([*command.split(), "--help"])
    assert end.value.code == 0
    assert f"Example:\n  jifen {command.split()[0]}" in re.sub(
        r"JIFEN_DATABASE_URL=\S+ ", "", capsys.readouterr().out
    )


def test_the_readme_names_every_command_and_every_setting() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"jifen {command.split()[0]}" in readme
    for setting in fields(Settings):
        assert f"| `{setting.metadata['variable']}` |" in readme


def test_an_unknown_command_is_refused(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as end:
        main(["frobnicate"])
    assert end.value.code == 2
    assert "frobnicate" in capsys.readouterr().err


def test_a_setting_that_can_not_be_right_is_refused_by_name(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("JIFEN_PORT", "many")
    assert main(["migrate"]) == 2
    assert "JIFEN_PORT" in refusal(capsys)


def test_a_database_that_does_not_answer_is_refused_with_what_to_look_at(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("JIFEN_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    assert main(["migrate"]) == 2
    assert "JIFEN_DATABASE_URL" in refusal(capsys)


@pytest.fixture
def stranger(database_url: str) -> Iterator[Stranger]:
    """Makes the URL of a database for a user without any right in it."""
    name = f"stranger_{uuid.uuid4().hex[:12]}"
    named = sql.Identifier(name)
    with closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(named))

    def make(url: str) -> str:
        parts = urlsplit(url)
        return urlunsplit(parts._replace(netloc=f"{name}:x@{parts.netloc.rpartition('@')[2]}"))

    yield make
    with closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("DROP OWNED BY {}").format(named))
            cursor.execute(sql.SQL("DROP ROLE {}").format(named))


def test_a_database_user_without_rights_is_refused_and_told_what_it_must_be(
    here: Path,
    database_url: str,
    stranger: Stranger,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.setenv("JIFEN_DATABASE_URL", stranger(database_url))
    for command in (["migrate"], ["keys", "list"], ["serve"]):
        assert main(command) == 2
        said = refusal(capsys)
        assert "The user of JIFEN_DATABASE_URL must own the database." in said
        assert said.count("\n") == 1


def test_a_migration_that_lacks_rights_in_the_middle_is_refused_the_same_way() -> None:
    lacking = psycopg2.errors.InsufficientPrivilege("permission denied")
    failed = MigrationError("Migration 0003_api_keys failed: permission denied")
    failed.__cause__ = lacking
    for problem in (lacking, failed):
        sentence = as_sentence(problem)
        assert sentence is not None
        assert sentence.startswith("The user of JIFEN_DATABASE_URL must own the database.")


def test_migrating_twice_is_migrating_once(
    here: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("JIFEN_DATABASE_URL", empty_database_url)
    assert main(["migrate"]) == 0
    assert "0001_log" in capsys.readouterr().out
    assert main(["migrate"]) == 0
    assert "Nothing to do" in capsys.readouterr().out


def test_the_shipped_programme_can_be_checked(here: Path, capsys: Capture) -> None:
    (here / "mine.toml").write_text(PROGRAMME)
    assert main(["programme", "check", "mine.toml"]) == 0
    assert "trial can be published" in capsys.readouterr().out


def test_a_programme_with_mistakes_is_refused_with_all_of_them_by_line(
    here: Path, capsys: Capture
) -> None:
    (here / "mine.toml").write_text(PROGRAMME + '[earning]\nrate = "-1"\nspeed = 3\n')
    for command in ("check", "publish"):
        assert main(["programme", command, "mine.toml"]) == 2
        said = refusal(capsys)
        assert "line 5" in said
        assert "line 6" in said


def test_a_programme_file_that_is_not_there_is_refused(here: Path, capsys: Capture) -> None:
    assert main(["programme", "check", "nowhere.toml"]) == 2
    assert "nowhere.toml can't be read" in refusal(capsys)


def test_the_same_programme_published_twice_is_one_version(here: Path, capsys: Capture) -> None:
    (here / "mine.toml").write_text(PROGRAMME)
    command = ["programme", "publish", "mine.toml", "--effective-at", "2026-01-01T00:00:00+08:00"]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert first.startswith("Published: version 2, from 2026-01-01T00:00:00+08:00")
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("Was published before: version 2,")


def test_the_same_rules_published_from_another_time_on_are_said_to_be_the_same(
    here: Path, capsys: Capture
) -> None:
    (here / "mine.toml").write_text(PROGRAMME)
    assert main(["programme", "publish", "mine.toml"]) == 0
    assert "the same as" not in capsys.readouterr().out
    assert main(["programme", "publish", "mine.toml"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Published: version 3, from ")
    assert "Its rules are the same as those of version 2." in printed


def test_a_check_names_the_sections_that_lie_idle_in_this_version(
    here: Path, capsys: Capture
) -> None:
    (here / "retail.toml").write_text(shipped_text("retail"), encoding="utf-8")
    assert main(["programme", "check", "retail.toml"]) == 0
    printed = capsys.readouterr().out
    for section in ("coupons", "rewards", "messages", "guard_rails.redemptions_per_hour"):
        assert section in printed
    for live in (
        "earning",
        "points,",
        "redemption,",
        "newcomer",
        "campaigns",
        "tiers",
        "levels",
        "refund_ratio",
    ):
        assert live not in printed
    (here / "mine.toml").write_text(PROGRAMME + '[earning]\nrate = "2"\n')
    assert main(["programme", "check", "mine.toml"]) == 0
    assert "idle" not in capsys.readouterr().out


def test_a_check_tries_the_rules_on_the_orders_that_are_there(here: Path, capsys: Capture) -> None:
    (here / "orders.csv").write_text(ORDERS)
    assert main(["import", "orders", "orders.csv"]) == 0
    dearer = shipped_text("retail").replace('rate = "1" ', 'rate = "2" ', 1)
    (here / "dearer.toml").write_text(dearer, encoding="utf-8")
    capsys.readouterr()
    assert main(["programme", "check", "dearer.toml", "--orders", "10"]) == 0
    printed = capsys.readouterr().out
    assert "1 setting differs from version 1" in printed
    assert "  earning.rate: 1 -> 2\n" in printed
    assert "The latest 2 orders, of 2 members, would earn 337 points instead of 168" in printed
    assert "  m-1001, o-1 (148.60): 148 points -> 297 points" in printed
    (here / "same.toml").write_text(shipped_text("retail"), encoding="utf-8")
    assert main(["programme", "check", "same.toml"]) == 0
    assert "Nothing would change" in capsys.readouterr().out
    assert main(["programme", "publish", "same.toml"]) == 0
    assert capsys.readouterr().out.startswith("Published: version 2,")


@pytest.mark.parametrize("count", ["-1", "10001", "many", "9" * 30])
def test_a_check_tries_no_impossible_number_of_orders(
    here: Path, capsys: Capture, count: str
) -> None:
    (here / "retail.toml").write_text(shipped_text("retail"), encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        main(["programme", "check", "retail.toml", "--orders", count])
    assert end.value.code == 2
    assert "from 0 to 10000" in capsys.readouterr().err


def test_a_check_without_a_ledger_makes_none(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JIFEN_DATABASE_URL", raising=False)
    monkeypatch.setenv("JIFEN_DATA_DIR", "nothing-yet")
    (here / "retail.toml").write_text(shipped_text("retail"), encoding="utf-8")
    assert main(["programme", "check", "retail.toml"]) == 0
    assert not (here / "nothing-yet").exists()


def test_the_operators_guide_names_every_section_that_lies_idle() -> None:
    guide = Path(__file__).parents[2] / "docs" / "guides" / "operator.md"
    paragraph = guide.read_text(encoding="utf-8").partition("do not act yet:")[2]
    named = re.findall(r"`([^`]+)`", paragraph.partition("\n\n")[0])
    assert named == list(IDLE)


def test_a_time_without_offset_is_refused(here: Path, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as end:
        main(["jobs", "run", "expire-points", "--as-of", "2026-01-01"])
    assert end.value.code == 2
    assert "offset" in capsys.readouterr().err


def test_an_import_into_an_empty_database_makes_it_ready_first(here: Path, capsys: Capture) -> None:
    (here / "orders.csv").write_text(ORDERS)
    assert main(["import", "orders", "orders.csv"]) == 0
    assert "2 orders" in capsys.readouterr().out
    assert main(["import", "orders", "orders.csv"]) == 0
    assert "2 already there" in capsys.readouterr().out


def test_an_import_with_rejects_says_so_by_its_exit_status(here: Path, capsys: Capture) -> None:
    (here / "orders.csv").write_text(ORDERS + "o-3,m-1003,2026-05-01T12:05:00+08:00,-1\n")
    assert main(["import", "orders", "orders.csv", "--rejects", "bad.csv"]) == 1
    assert "1 rejected" in capsys.readouterr().out
    assert "o-3" in (here / "bad.csv").read_text()


def test_an_import_of_no_file_is_refused(here: Path, capsys: Capture) -> None:
    assert main(["import", "orders", "nowhere.csv"]) == 2
    assert "nowhere.csv" in refusal(capsys)


def test_jobs_are_listed_and_run(here: Path, capsys: Capture) -> None:
    assert main(["jobs"]) == 0
    listed = capsys.readouterr().out
    assert "expire-points" in listed
    assert "lapse-reservations" in listed
    (here / "orders.csv").write_text(ORDERS.replace("2026-05", "2020-05"))
    assert main(["import", "orders", "orders.csv"]) == 0
    capsys.readouterr()
    command = ["jobs", "run", "expire-points", "--as-of", "2022-01-01T00:00:00+08:00"]
    assert main(command) == 0
    assert "done, 4 changed" in capsys.readouterr().out
    assert main(command) == 0
    assert "done, 0 changed" in capsys.readouterr().out


def test_an_unknown_job_is_refused_and_the_known_ones_named(here: Path, capsys: Capture) -> None:
    assert main(["jobs", "run", "make-coffee"]) == 2
    assert "expire-points" in refusal(capsys)


def test_views_are_rebuilt_by_name_or_all(here: Path, capsys: Capture) -> None:
    assert main(["rebuild", "history"]) == 0
    assert capsys.readouterr().out == "Rebuilt: history.\n"
    assert main(["rebuild"]) == 0
    assert "Rebuilt: members." in capsys.readouterr().out
    assert main(["rebuild", "nothing"]) == 2
    assert "history" in refusal(capsys)


def test_a_key_is_shown_once_listed_without_secret_and_revoked_by_name(
    here: Path, capsys: Capture
) -> None:
    assert main(["keys", "create", "till-12", "--role", "pos", "--role", "service"]) == 0
    key = capsys.readouterr().out.strip()
    assert main(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    assert "till-12" in listed
    assert "pos,service" in listed
    assert key not in listed
    assert main(["keys", "create", "till-12", "--role", "pos"]) == 2
    assert "till-12" in refusal(capsys)
    assert main(["keys", "rotate", "till-12"]) == 0
    another = capsys.readouterr().out.strip()
    assert another.startswith(key.rpartition("_")[0][:10])
    assert another != key
    assert main(["keys", "rotate", "nobody"]) == 2
    assert "nobody" in refusal(capsys)
    assert main(["keys", "revoke", "till-12"]) == 0
    capsys.readouterr()
    assert main(["keys", "list"]) == 0
    assert "revoked" in capsys.readouterr().out
    assert main(["keys", "revoke", "till-12"]) == 2
    assert "till-12" in refusal(capsys)


# --- the whole service ---


class Serving:
    """A `jifen serve` of its own: what it has printed, what it answers, how it ends."""

    def __init__(
        self, port: int, environment: Mapping[str, str], log: Path, without: str | None = None
    ) -> None:
        self.port = port
        self._log = log
        options = ["--without", without] if without else []
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jifen.cli", "serve", *options],
                env={**environment, "JIFEN_PORT": str(port), "JIFEN_WORKERS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def printed(self) -> str:
        return self._log.read_text()

    def until(self, text: str, seconds: float = 60) -> str:
        deadline = time.monotonic() + seconds
        while text not in self.printed:
            assert self.process.poll() is None, self.printed
            assert time.monotonic() < deadline, self.printed
            time.sleep(0.1)
        return self.printed

    def counted(self) -> float:
        """How many answers of /readyz the service has counted, one more now."""
        for path in ("readyz", "metrics"):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=5) as ok:
                text = ok.read().decode()
        lines = [line for line in text.splitlines() if line.startswith("jifen_http_requests_total")]
        return sum(float(line.split()[-1]) for line in lines if "readyz" in line)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def servings(here: Path) -> Iterator[list[Serving]]:
    started: list[Serving] = []
    yield started
    for serving in started:
        if serving.process.poll() is None:
            serving.process.kill()
            serving.process.wait()


def start(
    servings: list[Serving], here: Path, without: str | None = None, **settings: str
) -> Serving:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = here / f"serve-{len(servings)}.log"
    serving = Serving(port, {**os.environ, **settings}, log, without)
    servings.append(serving)
    return serving


def until_gone(processes: list[psutil.Process], seconds: float = 15) -> bool:
    return not psutil.wait_procs(processes, timeout=seconds)[1]


def as_printed(text: str) -> list[str]:
    """The requests that the service has printed, each as a line for the shell."""
    joined = text.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip().startswith("curl ")]


def send(line: str) -> dict[str, object]:
    """Send a printed request, by curl where there is one."""
    if shutil.which("curl"):
        done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True)
        answer: dict[str, object] = json.loads(done.stdout)
        return answer
    # The shell puts in what a command in the line prints.
    echoed = f"printf '%s\\n' {line}"
    done = subprocess.run(["/bin/sh", "-c", echoed], capture_output=True, text=True, check=True)
    words = done.stdout.splitlines()
    url = next(word for word in words if word.startswith("http://"))
    options = [(word, words[place + 1]) for place, word in enumerate(words[:-1])]
    headers = dict(value.split(": ", 1) for option, value in options if option == "-H")
    body = next(value for option, value in options if option == "-d")
    request = urllib.request.Request(url, data=body.encode(), headers=headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return dict(json.load(response))


def test_the_printed_requests_work_as_printed_and_again_on_a_second_start(
    servings: list[Serving], here: Path
) -> None:
    first = start(servings, here)
    requests = as_printed(first.until("Ctrl-C stops everything."))
    answers = [send(request) for request in requests]
    assert answers[0]["member_id"] == "first-member"
    assert answers[1]["points"] == 148
    children = first.children()
    assert len(children) >= 4
    assert first.stop(signal.SIGINT) == 0
    assert until_gone(children, seconds=2)

    second = start(servings, here)
    again = as_printed(second.until("Ctrl-C stops everything."))
    keys = json.loads((here / "var" / "keys.json").read_text())
    assert set(keys) == {"pos", "service", "finance", "admin"}
    # What is no terminal may be a log that others read: a key stands in it once.
    for key in keys.values():
        assert key in first.printed
        assert key not in second.printed
    assert str(here / "var" / "keys.json") in second.printed
    assert [send(request) for request in again] == answers
    assert (here / "var" / "keys.json").stat().st_mode & 0o777 == 0o600
    assert second.stop(signal.SIGTERM) == 0


def test_a_terminal_shows_the_keys_at_every_start(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    old = FirstKeys({"pos": "jf_1_one", "admin": "jf_2_two"}, frozenset())
    printed = welcome(settings, old, None, secrets=True)
    assert "jf_1_one" in printed and "jf_2_two" in printed
    assert "-H 'Authorization: Bearer jf_1_one'" in printed
    printed = welcome(settings, old, None, secrets=False)
    assert "jf_1_one" not in printed and "jf_2_two" not in printed


def test_nothing_outlives_a_service_that_was_killed(servings: list[Serving], here: Path) -> None:
    serving = start(servings, here)
    serving.until("Ctrl-C stops everything.")
    children = serving.children()
    serving.process.kill()
    serving.process.wait()
    assert until_gone(children)


def test_ctrl_c_while_the_api_is_still_starting_stops_everything_at_once(
    servings: list[Serving], here: Path
) -> None:
    serving = start(servings, here)
    deadline = time.monotonic() + 60
    while not any("granian" in child.cmdline() for child in serving.children()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.6)
    children = serving.children()
    began = time.monotonic()
    assert serving.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < WORKER_STOP_SECONDS
    assert until_gone(children, seconds=2)


def test_a_part_that_dies_is_started_again_and_that_is_said(
    servings: list[Serving], here: Path
) -> None:
    serving = start(servings, here)
    serving.until("Ctrl-C stops everything.")
    for child in psutil.Process(serving.process.pid).children():
        child.kill()
    for part in ("api", "projections", "scheduler"):
        serving.until(f"{part} was ended by SIGKILL. It starts again in 0.5 s.")
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{serving.port}/readyz", timeout=5) as ok:
                assert ok.status == 200
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert serving.stop() == 0


def test_services_on_one_data_folder_leave_each_other_s_metrics_alone(
    servings: list[Serving], here: Path
) -> None:
    metrics = here / "var" / "metrics"
    (metrics / "4194305").mkdir(parents=True)  # above the greatest process number there is
    (metrics / "counter_7.db").write_bytes(b"of an earlier version")
    first = start(servings, here)
    first.until("Ctrl-C stops everything.")
    assert [path.name for path in metrics.iterdir()] == [str(first.process.pid)]
    counted = first.counted()
    assert counted >= 1

    second = start(servings, here)
    second.until("Ctrl-C stops everything.")
    parts_alone = start(servings, here, without="api")
    parts_alone.until("without the API")
    running = {str(first.process.pid), str(second.process.pid)}
    assert {path.name for path in metrics.iterdir()} == running
    assert first.counted() > counted
    for serving in (parts_alone, second, first):
        assert serving.stop() == 0
    assert list(metrics.iterdir()) == []


def test_an_admin_key_chosen_beforehand_works_and_is_written_nowhere(
    servings: list[Serving], here: Path
) -> None:
    chosen = "chosen-beforehand-3f9c1b7e5a2d4c68"
    serving = start(servings, here, JIFEN_ADMIN_KEY=chosen)
    printed = serving.until("Ctrl-C stops everything.")
    request = urllib.request.Request(
        f"http://127.0.0.1:{serving.port}/v1/keys", headers={"Authorization": f"Bearer {chosen}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert "JIFEN_ADMIN_KEY" in [key["name"] for key in json.load(answer)["keys"]]
    assert chosen not in printed
    assert chosen not in (here / "var" / "keys.json").read_text()
    assert serving.stop() == 0


def test_a_port_that_is_taken_is_refused_before_anything_starts(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("JIFEN_PORT", str(taken.getsockname()[1]))
        assert main(["serve"]) == 2
    assert "JIFEN_PORT" in refusal(capsys)


def test_serving_nothing_is_refused(here: Path, capsys: Capture) -> None:
    parts = ("api", "projections", "scheduler")
    assert main(["serve", *(word for part in parts for word in ("--without", part))]) == 2
    assert "nothing to run" in refusal(capsys)


def test_a_key_whose_file_is_gone_stays_valid_and_is_not_made_anew(
    servings: list[Serving], here: Path
) -> None:
    first = start(servings, here)
    requests = as_printed(first.until("Ctrl-C stops everything."))
    assert first.stop() == 0
    (here / "var" / "keys.json").unlink()

    second = start(servings, here)
    assert "(not shown)" in second.until("Ctrl-C stops everything.")
    line = requests[0].replace(f":{first.port}/", f":{second.port}/")
    assert send(line)["member_id"] == "first-member"
    assert second.stop() == 0
