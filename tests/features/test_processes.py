"""Child processes of the service: what they print is kept, and does not grow for ever."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from jifen import processes
from jifen.processes import Child

PRINTS = "import time\nfor n in range(100000):\n    print(n, flush=True)\n    time.sleep(0.001)\n"


def test_a_log_begins_anew_when_it_is_long_and_three_older_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LARGEST_LOG_BYTES", 200)
    log = tmp_path / "logs" / "part.log"
    child = Child("part", [sys.executable, "-c", PRINTS], {}, log)
    deadline = time.monotonic() + 30
    turns, last = 0, 0
    try:
        while turns < 5:
            assert time.monotonic() < deadline
            child.tend()
            older = log.with_name("part.log.1")
            if older.exists() and older.stat().st_ino != last:
                turns, last = turns + 1, older.stat().st_ino
            time.sleep(0.01)
    finally:
        child.stop(10)
    names = sorted(path.name for path in log.parent.iterdir())
    assert names == ["part.log", "part.log.1", "part.log.2", "part.log.3"]
    kept = "".join((log.parent / name).read_text() for name in [*names[:0:-1], names[0]])
    assert "\0" not in kept
    # A line or two may fall between the end of the copy and the beginning of the new file.
    numbers = [int(line) for line in kept.split()]
    assert numbers[-1] > 100
    assert numbers[-1] - numbers[0] + 1 - len(numbers) <= 10


def test_a_short_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    log.write_text("a line\n")
    processes.turn_over(log)
    processes.turn_over(tmp_path / "no.log")
    assert [path.name for path in tmp_path.iterdir()] == ["part.log"]
