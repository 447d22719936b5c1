"""Every setting of the service: its variable, its default, what it means.

The one place that reads the environment. A reference page can be made from the fields' metadata:

    for each in dataclasses.fields(Settings):
        each.metadata["variable"], each.default, each.metadata["meaning"]
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

LOG_LEVELS: Final = ("debug", "info", "warning", "error")


class SettingsError(Exception):
    """A setting has a value that can't be right; the sentence names it and says what can."""


class _BadValueError(ValueError):
    """What a reader raises: what the value should have been, to end the sentence."""


Reader = Callable[[str], Any]


def _text(value: str) -> str:
    return value


def _path(value: str) -> Path:
    return Path(value).expanduser()


def _postgresql_url(value: str) -> str:
    if not value.startswith(("postgresql://", "postgres://")):
        raise _BadValueError("a URL such as postgresql://user:password@host:5432/jifen")
    return value


def _log_level(value: str) -> str:
    if value.lower() not in LOG_LEVELS:
        raise _BadValueError(f"one of {', '.join(LOG_LEVELS)}")
    return value.lower()


def _whole_number(least: int, most: int) -> Reader:
    def read(value: str) -> int:
        expected = f"a whole number from {least} to {most}"
        try:
            number = int(value)
        except ValueError:
            raise _BadValueError(expected) from None
        if not least <= number <= most:
            raise _BadValueError(expected)
        return number

    return read


def _about(variable: str, read: Reader, meaning: str) -> dict[str, Any]:
    return {"variable": variable, "read": read, "meaning": meaning}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one process. Secrets stay out of its `repr`."""

    database_url: str | None = field(
        default=None,
        repr=False,
        metadata=_about(
            "JIFEN_DATABASE_URL",
            _postgresql_url,
            "The PostgreSQL database (15 to 18) to use. Unset: an embedded server, with its data "
            "in the data directory. The user migrates, so it must own the database.",
        ),
    )
    data_dir: Path = field(
        default=Path("var"),
        metadata=_about(
            "JIFEN_DATA_DIR",
            _path,
            "Where the embedded database, the keys and the logs are kept.",
        ),
    )
    host: str = field(
        default="127.0.0.1",
        metadata=_about("JIFEN_HOST", _text, "The address that the API listens on."),
    )
    port: int = field(
        default=8080,
        metadata=_about("JIFEN_PORT", _whole_number(1, 65535), "The port that the API listens on."),
    )
    admin_key: str | None = field(
        default=None,
        repr=False,
        metadata=_about(
            "JIFEN_ADMIN_KEY",
            _text,
            "An admin key chosen beforehand, for automation. Unset: the first start makes one "
            "and prints it.",
        ),
    )
    programme: Path | None = field(
        default=None,
        metadata=_about(
            "JIFEN_PROGRAMME",
            _path,
            "The TOML file of the programme to publish at the first start. Unset: the shipped "
            "`retail`. Later versions are published by command or API.",
        ),
    )
    workers: int = field(
        default=2,
        metadata=_about(
            "JIFEN_WORKERS",
            _whole_number(1, 64),
            "How many API processes serve; about one for each core is best.",
        ),
    )
    batch_size: int = field(
        default=128,
        metadata=_about(
            "JIFEN_BATCH_SIZE",
            _whole_number(1, 10_000),
            "How many requests that arrive together are committed in one transaction, at most.",
        ),
    )
    connections: int = field(
        default=10,
        metadata=_about(
            "JIFEN_CONNECTIONS",
            _whole_number(1, 1000),
            "How many database connections one process opens, at most.",
        ),
    )
    lock_timeout_seconds: int = field(
        default=5,
        metadata=_about(
            "JIFEN_LOCK_TIMEOUT_SECONDS",
            _whole_number(1, 600),
            "How long a transaction waits for another's lock before it gives up.",
        ),
    )
    log_level: str = field(
        default="info",
        metadata=_about(
            "JIFEN_LOG_LEVEL", _log_level, f"The least severe log line: {', '.join(LOG_LEVELS)}."
        ),
    )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """The settings that the environment (or `environ`) gives; an empty value is no value.

        Raises `SettingsError` for the first value that can't be right.
        """
        environ = os.environ if environ is None else environ
        given: dict[str, Any] = {}
        for each in fields(cls):
            value = environ.get(each.metadata["variable"], "").strip()
            if value:
                given[each.name] = _read(each.metadata, value, secret=not each.repr)
        return cls(**given)


def _read(about: Mapping[str, Any], value: str, secret: bool) -> Any:
    try:
        return about["read"](value)
    except _BadValueError as expected:
        shown = "the value" if secret else repr(value)
        variable = about["variable"]
        raise SettingsError(f"{variable}: {shown} can't be used; give {expected}.") from None
