"""Log lines as JSON, one a line, for whoever collects them."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import IO, Final

import msgspec

REQUESTS: Final = "jifen.requests"

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


def log_to(stream: IO[str] = sys.stdout, level: str = "info") -> None:
    """Send this process's log there, from `level` up; for the process that serves, not for apps."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
