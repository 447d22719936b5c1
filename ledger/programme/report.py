"""What is wrong with a programme, said to the person who wrote it: where, what, and the mend."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Literal

from ledger.programme.toml_lines import Path

Format = Literal["toml", "json"]
_SHOWN_AT_MOST = 60
_LISTED_AT_MOST = 40
_LONGEST_WORD = 64
_ERRORS_AT_MOST = 200


@dataclass(frozen=True)
class ProgrammeError:
    """One thing that is wrong: its line (none in JSON), its place, and what to write instead."""

    line: int | None
    path: str
    message: str

    def __str__(self) -> str:
        where = [f"line {self.line}"] if self.line else []
        where += [self.path] if self.path else []
        return f"{', '.join(where)}: {self.message}" if where else self.message


class ProgrammeErrors(ValueError):  # noqa: N818 - it is all the errors of a text
    """A programme that cannot be published; `errors` has everything found wrong, by line."""

    def __init__(self, errors: list[ProgrammeError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = errors


@dataclass
class Report:
    """Gathers the errors of one text and knows where each key of it stands."""

    data: Mapping[str, Any]
    format: Format
    lines: Mapping[Path, int]
    errors: list[ProgrammeError] = field(default_factory=list)

    def add(self, path: Path, message: str) -> None:
        """Note an error at the value of this path, or at the nearest table that was written.

        Beyond 200 errors the text is something else altogether; more would help nobody.
        """
        if len(self.errors) < _ERRORS_AT_MOST:
            self.errors.append(ProgrammeError(self._line(path), self.place(path), message))

    def raise_if_any(self) -> None:
        """Raise ProgrammeErrors with all errors noted, in the order of the text."""
        if self.errors:
            raise ProgrammeErrors(sorted(self.errors, key=lambda error: error.line or 0))

    def place(self, path: Path) -> str:
        """The path as a reader would say it: `coupons[birthday].cap`, `tiers[#2]`."""
        said = ""
        value: Any = self.data
        for part in path:
            value = _inside(value, part)
            if isinstance(part, int):
                said += f"[{code_of(value) or f'#{part + 1}'}]"
            else:
                said += f".{_printable(part)}" if said else _printable(part)
        return said

    def write(self, key: str, value: Any) -> str:
        """How the key with this value is written in the format of the text."""
        if self.format == "json":
            return f"{json.dumps(key)}: {self.written(value)}"
        return f"{key} = {self.written(value)}"

    def written(self, value: Any) -> str:
        """How a value is written in the format of the text."""
        return written(value, self.format)

    def _line(self, path: Path) -> int | None:
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None


@dataclass(frozen=True)
class Here:
    """The place of one section in a text, as the checks of that section see it."""

    report: Report
    path: Path

    def error(self, key: str, message: str) -> None:
        """Note an error at a key of this section ("" for the section itself)."""
        self.report.add((*self.path, *key.split(".")) if key else self.path, message)

    def wrote(self, key: str) -> bool:
        """Whether the text itself gives this key, so that it is not a default."""
        value: Any = self.report.data
        for part in (*self.path, key):
            value = _inside(value, part)
        return value is not None

    def at(self, key: str, number: int) -> Here:
        """The place of an element of a list of this section."""
        return Here(self.report, (*self.path, key, number))

    def write(self, key: str, value: Any) -> str:
        """How the key with this value is written in the format of the text."""
        return self.report.write(key, value)


def code_of(value: Any) -> str | None:
    """What a list element is called: its `code` or `reward_id`, if it has a usable one."""
    if not isinstance(value, Mapping):
        return None
    code = value.get("code") or value.get("reward_id")
    return code if isinstance(code, str) and len(code) <= 64 and code.isprintable() else None


def written(value: Any, style: Format = "toml") -> str:
    """A value as it is written in TOML or JSON."""
    if isinstance(value, Mapping):
        if style == "json":
            inner = ", ".join(f"{json.dumps(k)}: {written(v, style)}" for k, v in value.items())
            return f"{{{inner}}}"
        return f"{{ {', '.join(f'{k} = {written(v, style)}' for k, v in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(written(v, style) for v in value)}]"
    if isinstance(value, datetime | date) and style == "toml":
        return value.isoformat()
    if isinstance(value, time):
        return f'"{value:%H:%M}"'
    if isinstance(value, datetime | date):
        return f'"{value.isoformat()}"'
    if isinstance(value, Decimal):
        return f'"{value:f}"'
    return json.dumps(value, ensure_ascii=False)


def shown(value: Any) -> str:
    """A value of the text for a message: short, and safe to print whatever it is."""
    if isinstance(value, Decimal):
        said = str(value)
    elif isinstance(value, Mapping):
        said = "a table" if value else "an empty table"
    elif isinstance(value, list):
        said = "a list" if value else "an empty list"
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**18:
        said = "a number of many digits"
    elif value is None:
        said = "null"
    else:
        said = written(value)
    return _printable(said)


def suggestion(word: object, known: list[str]) -> str:
    """`; did you mean "spend"?` for the nearest known word, or the list of what is known."""
    near = get_close_matches(str(word)[:_LONGEST_WORD], known, n=1, cutoff=0.6)
    if near:
        return f'; did you mean "{near[0]}"?'
    if not known:
        return ""
    listed = known[:_LISTED_AT_MOST]
    more = ", …" if len(known) > len(listed) else ""
    return f"; known are {', '.join(listed)}{more}"


def _inside(value: Any, part: str | int) -> Any:
    if isinstance(value, Mapping):
        return value.get(str(part))
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return value[part]
    return None


def _printable(text: str) -> str:
    """The text, short and without what cannot be encoded or would break a line."""
    if len(text) > _SHOWN_AT_MOST:
        text = text[: _SHOWN_AT_MOST - 1] + "…"
    return "".join(character if character.isprintable() else "�" for character in text)
