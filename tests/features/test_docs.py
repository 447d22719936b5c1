"""What the documents show is what comes out: their commands are run, in a shell, on a service.

The tour of README.md as it stands, and the steps of docs/tutorial.md. `curl` is a stand-in that
knows the options shown, so that no test needs the real one; everything else is the real thing.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ledger.programme.reference import reference_page
from ledger.settings_reference import settings_page

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

CURL = """\
import sys, urllib.error, urllib.request
headers, data, address, after = {}, None, None, b""
words = iter(sys.argv[1:])
for word in words:
    if word == "-H":
        name, _, value = next(words).partition(": ")
        headers[name] = value
    elif word == "-d":
        data = next(words).encode()
    elif word == "-sw":
        after = next(words).replace("\\\\n", "\\n").encode()
    elif word != "-s":
        address = word
try:
    request = urllib.request.Request(address, data, headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        body = answer.read()
except urllib.error.HTTPError as refused:
    body = refused.read()
    refused.close()
sys.stdout.buffer.write(body + after)
"""
END = "--- end of a step ---"


class Reader:
    """Somebody who follows a document in a folder that looks like a fresh clone."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        # A copy: rejects are written beside the file that is imported.
        shutil.copytree(ROOT / "tests" / "data", folder / "tests" / "data")
        programs = folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        python = shlex.quote(sys.executable)
        _write_program(programs / "jifen", f'exec {python} -m jifen.cli "$@"')
        (folder / "curl.py").write_text(CURL)
        _write_program(programs / "curl", f'exec {python} {shlex.quote(str(folder))}/curl.py "$@"')
        kept = {name: value for name, value in os.environ.items() if not name.startswith("JIFEN_")}
        self.environment = {
            **kept,
            "PATH": f"{programs}{os.pathsep}{kept['PATH']}",
            "PYTHONPATH": str(ROOT),
            "JIFEN_DATABASE_URL": database_url,
            "JIFEN_DATA_DIR": str(folder / "var"),
        }

    @contextmanager
    def serving(self) -> Iterator[dict[str, str]]:
        """`jifen serve`; the variables that the documents make of what it prints."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        log = self.folder / "serve.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "jifen.cli", "serve"],
                env={**self.environment, "JIFEN_PORT": port, "JIFEN_WORKERS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            _wait_until_ready(process, log)
            keys = json.loads((self.folder / "var" / "keys.json").read_text())
            yield {
                "POS": f"Authorization: Bearer {keys['pos']}",
                "SERVICE": f"Authorization: Bearer {keys['service']}",
                "JSON": "Content-Type: application/json",
                "AT": f"http://127.0.0.1:{port}",
            }
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    def run(self, steps: Sequence[str], variables: dict[str, str] | None = None) -> list[str]:
        """Run steps in one shell, one after the other; what each has printed."""
        given = [f"{name}={shlex.quote(value)}" for name, value in (variables or {}).items()]
        script = "\n".join([*given, *(f"{step}\necho; echo '{END}'" for step in steps)])
        ended = subprocess.run(
            ["sh", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=120,
        )
        printed = ended.stdout.split(f"{END}\n")
        assert len(printed) == len(steps) + 1, ended.stdout
        return [text.strip() for text in printed[:-1]]


def _write_program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while "Ctrl-C stops everything." not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


@pytest.fixture
def reader(database_url: str, tmp_path: Path) -> Reader:
    """Somebody with an empty ledger."""
    return Reader(tmp_path, database_url)


@pytest.fixture
def reader_of_a_year(new_database: Callable[[], str], tmp_path: Path) -> Reader:
    """Somebody with an empty ledger for the tutorial's year of real orders."""
    reader = Reader(tmp_path, new_database())
    reader.environment["JIFEN_PROGRAMME"] = "tests/data/spend_alone.toml"
    return reader


def section(document: str, heading: str) -> str:
    """What stands below a heading, up to the next one."""
    found = re.search(rf"^## {re.escape(heading)}\n(.+?)(?=^## |\Z)", document, re.M | re.S)
    assert found, heading
    return found[1]


def indented(text: str) -> list[str]:
    """The blocks that are indented as code."""
    blocks = re.findall(r"(?:^    .*\n)+", text, re.M)
    return [re.sub(r"^    ", "", block, flags=re.M).strip() for block in blocks]


def shown_json(text: str) -> Any:
    """A shown answer; what was left out becomes an entry named "…"."""
    return json.loads(re.sub(r", …(?=})", ', "…": null', re.sub(r": …(?=[,}])", ': "…"', text)))


def assert_shown(shown: Any, received: Any, where: str = "answer") -> None:
    """Every value shown is there; nothing more is, where no "…" says so."""
    if isinstance(shown, dict):
        assert isinstance(received, dict), where
        for name, value in shown.items():
            if name != "…":
                assert name in received, f"{where}.{name}"
                assert_shown(value, received[name], f"{where}.{name}")
        assert "…" in shown or set(received) == set(shown), where
    elif isinstance(shown, list):
        assert len(received) == len(shown), where
        for place, value in enumerate(shown):
            assert_shown(value, received[place], f"{where}.{place}")
    elif shown != "…":
        assert received == shown, where


def test_the_tour_of_the_readme_answers_as_it_says(reader: Reader) -> None:
    fences = re.findall(r"```(\w+)\n(.+?)\n```", section(README, "Five minutes"), re.S)
    assert fences[0][0] == "sh"
    assert "jf_…" in fences[0][1]
    commands = [text for kind, text in fences[1:] if kind == "sh"]
    answers = [(kind, text) for kind, text in fences if kind != "sh"]
    assert [kind for kind, _ in fences[1::2]] == ["sh"] * len(commands)
    assert len(commands) == len(answers) == 10
    with reader.serving() as variables:
        printed = reader.run(commands, variables)
    for command, (kind, shown), received in zip(commands, answers, printed, strict=True):
        if kind == "json":
            assert_shown(shown_json(shown), json.loads(received), command)
        else:
            pattern = re.escape(shown).replace("…", ".+")
            assert re.fullmatch(pattern, received), f"{command}\n{received}"


def test_the_first_steps_of_the_tutorial_come_out_as_it_says(reader: Reader) -> None:
    enrol_and_accrue = indented(section(TUTORIAL, "2. A member, an order, points"))
    spending = indented(section(TUTORIAL, "3. Spend some, give some back"))
    member, order, *_ = re.split(r"\n(?=curl )", enrol_and_accrue[0])
    changed = order.replace("248.60", "248.61")
    reserve, capture = re.split(r"\n(?=curl )", spending[0])
    steps = [member, order, order, changed, reserve, capture, spending[1], spending[2]]
    with reader.serving() as variables:
        answers = [json.loads(text) for text in reader.run(steps, variables)]
    enrolled, accrued, again, refused, reserved, captured, refunded, history = answers
    assert enrolled["member_id"] == "t-member"
    assert accrued["points"] == 248
    assert accrued["breakdown"][0]["base"] == "248.60"
    assert again == accrued
    assert (refused["status"], refused["code"]) == (409, "already_recorded")
    assert (reserved["status"], reserved["value"]) == ("reserved", "10.00")
    assert captured["status"] == "redeemed"
    assert refunded["points_clawed_back"] == 124
    assert history["entries"][-1]["event"] == "PointsClawedBack"
    shown = re.findall(r"```json\n(.+?)\n```", TUTORIAL, re.S)
    for text, received in zip(shown, (accrued, refunded, history["entries"][-1]), strict=True):
        assert_shown(shown_json(text), received)
    befores = [entry["balance_before"] for entry in history["entries"]]
    afters = [entry["balance_after"] for entry in history["entries"]]
    assert befores[1:] == afters[:-1]


def test_the_tutorial_s_year_of_real_orders_balances(reader_of_a_year: Reader) -> None:
    _, settings, count, sums, import_ = indented(section(TUTORIAL, "4. A year of real orders"))
    household, expire = indented(section(TUTORIAL, "5. Look at what came in"))[1:]
    assert sums == "4532 126164"
    export, check = settings.splitlines()
    assert export == "export JIFEN_DATA_DIR=var-year JIFEN_PROGRAMME=tests/data/spend_alone.toml"
    counted, checked, imported, again = reader_of_a_year.run([count, check, import_, import_])
    assert counted == sums
    assert "the programme spend-alone can be published" in checked
    assert "4,532 orders and 0 refunds booked, 0 already there, 0 rejected" in imported
    assert "0 orders and 0 refunds booked, 4,532 already there, 0 rejected" in again
    with reader_of_a_year.serving() as variables:
        as_it_stood, _, now = reader_of_a_year.run(
            [household, expire, re.sub(r"\?as_of=[^\"]+", "", household)], variables
        )
    assert json.loads(as_it_stood)["balance"]["available"] == 2386
    assert json.loads(now)["balance"]["available"] == 0


def test_the_tutorial_s_file_with_a_fault_is_imported_but_for_that_row(
    reader_of_a_year: Reader,
) -> None:
    (faulty,) = indented(section(TUTORIAL, "6. When a file is not perfect"))[:1]
    (printed,) = reader_of_a_year.run([faulty])
    assert "exit status 1" in printed
    rejects = (reader_of_a_year.folder / "two.csv.rejects.csv").read_text().splitlines()
    assert len(rejects) == 2
    assert rejects[1].startswith("3,")
    assert "o-2" in rejects[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_the_documents_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.+?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+://", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in _anchors(linked), f"{page.name}: {target}"


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_document_can_be_reached_from_the_readme() -> None:
    linked = {
        (ROOT / target.partition("#")[0]).resolve()
        for target in re.findall(r"\]\(([^)\s]+\.md[^)\s]*)\)", README)
        if "://" not in target
    }
    assert set(PAGES) - {ROOT / "README.md"} <= linked


def test_the_readme_says_of_every_package_why_it_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    built_on = section(README, "What it is built on, and why").lower()
    for requirement in listed:
        name = re.split(r"[<>=;]", requirement)[0]
        assert name in built_on or name.startswith("types-"), name


def test_the_readme_gives_a_reason_for_every_dependency_and_names_no_other() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = section(README, "What it is built on, and why").lower()
    rows = re.findall(r"^\| \[?([\w-]+)(?:\]\([^)]+\))? \| .+ \|$", text, re.M)
    rows.remove("package")  # the table's head
    assert sorted(rows) == sorted(_distribution(each) for each in project["dependencies"])
    (for_development,) = re.findall(r"^for development: .+?\n\n", text, re.M | re.S)
    optional = project["optional-dependencies"]
    for each in {_distribution(each) for each in [*optional["dev"], *optional["parquet"]]}:
        assert re.search(rf"(?<![\w-]){re.escape(each)}(?![\w-])", for_development), each


def _distribution(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return found[0].lower()


def test_the_readme_has_the_commands_behind_every_target_of_make_that_runs_something() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    without_make = README.partition("Without make:")[2].partition("With a PostgreSQL")[0]
    for target in re.findall(r"^([a-z-]+):.*## ", makefile, re.M):
        if target not in ("help", "clean", "format"):
            assert re.search(rf"make {target}(?![\w-])", without_make), target


def test_pages_made_from_the_code_are_up_to_date() -> None:
    reference = ROOT / "docs" / "reference"
    assert (reference / "programme.md").read_text(encoding="utf-8") == reference_page()
    assert (reference / "settings.md").read_text(encoding="utf-8") == settings_page()


def test_every_decision_is_dated_and_names_what_was_rejected_and_why() -> None:
    text = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    decisions = re.split(r"^### ", text, flags=re.M)[1:]
    assert len(decisions) >= 15
    for decision in decisions:
        heading = decision.splitlines()[0]
        assert re.match(r"\d{4}-\d\d-\d\d · ", heading), heading
        assert "**Rejected:**" in decision, heading
        assert "**Because:**" in decision, heading
