"""Log lines as JSON, one a line, in one form for every process of the service."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import IO, Final

import msgspec

REQUESTS: Final = "jifen.requests"
"""The logger of answered requests: its messages are JSON objects already."""

_encode = msgspec.json.Encoder().encode


class JsonLines(logging.Formatter):
    """A record as a JSON object; a request's line is one already."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        if record.name == REQUESTS:
            return record.getMessage()
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _encode(line).decode()


def log_to(stream: IO[str] | None = None, level: str = "info") -> None:
    """Send this process's log there (standard output), from `level` up; for processes, not apps."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
