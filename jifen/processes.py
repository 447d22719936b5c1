"""Child processes: they start, are restarted when they die, and never outlive their parent."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
# Who has lived this long is taken to be well again.
STEADY_SECONDS = 60.0
LARGEST_LOG_BYTES = 50_000_000
KEPT_LOGS = 3
_COPIED_BYTES = 1 << 20

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies, by kill -9 too (on Linux only).

    Killed, not asked: nothing that a process of ours does needs more than its transactions.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


@dataclass(slots=True)
class Child:
    """One child process by name: `command` run with `environment`, output to `log` if given."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path | None = None
    pause_seconds: float = FIRST_PAUSE_SECONDS
    due: float = 0.0
    started: float = 0.0
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches it only through its parent."""
        parent = os.getpid()

        def before_exec() -> None:
            die_with_parent()
            if os.getppid() != parent:
                os._exit(1)

        with self._output() as output:
            self.process = subprocess.Popen(
                list(self.command),
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=before_exec,
            )
        self.started = time.monotonic()

    def tend(self) -> str | None:
        """Start it when it is due, again after a death; returns a sentence when it died."""
        if self.process is None:
            if time.monotonic() >= self.due:
                self.start()
            return None
        status = self.process.poll()
        if status is None:
            if self.log is not None:
                turn_over(self.log)
            return None
        if time.monotonic() - self.started >= STEADY_SECONDS:
            self.pause_seconds = FIRST_PAUSE_SECONDS
        pause = self.pause_seconds
        self.pause_seconds = min(pause * 2, LONGEST_PAUSE_SECONDS)
        self.due = time.monotonic() + pause
        self.process = None
        where = f"; its last words are in {self.log}" if self.log else ""
        return f"{self.name} {_end(status)}{where}. It starts again in {pause:g} s."

    def stop(self, seconds: float) -> str | None:
        """Ask it to stop, kill it after `seconds`; returns a sentence if it had to be killed."""
        if self.process is None:
            return None
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            # Its own children too: they are in its session.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            return f"{self.name} did not stop within {seconds:g} s and was killed."
        finally:
            self.process = None
        return None

    def _output(self) -> "contextlib.AbstractContextManager[IO[bytes] | None]":
        if self.log is None:
            return contextlib.nullcontext()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        turn_over(self.log)
        return self.log.open("ab")


def turn_over(log: Path) -> None:
    """Once a log is longer than `LARGEST_LOG_BYTES`, begin it anew; `KEPT_LOGS` older ones stay.

    The older ones are `NAME.1` (the latest), `NAME.2` ...; where the disk has no room, the log just
    grows.
    """
    with contextlib.suppress(OSError):
        if log.stat().st_size > LARGEST_LOG_BYTES:
            for number in range(KEPT_LOGS - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    _older(log, number).replace(_older(log, number + 1))
            _move_content(log, _older(log, 1))


def _older(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")


def _move_content(log: Path, older: Path) -> None:
    # Who writes has the file open to append: renamed, it would go on growing under its new name.
    # Copied to its very end, so that what is written meanwhile is in the copy.
    with log.open("r+b") as source, older.open("wb") as copy:
        while block := source.read(_COPIED_BYTES):
            copy.write(block)
        source.truncate(0)


def _end(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"
