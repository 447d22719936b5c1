"""On which line of a TOML text each key stands.

The standard library reads TOML but tells no positions. This scanner reads nothing but positions,
from a text that `tomllib` has accepted, so it need not find errors.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

Path = tuple[str | int, ...]
"""Where a value stands: keys, and numbers from 0 in lists."""

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_KEY_PART = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[A-Za-z0-9_-]+')
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE_VALUE = re.compile(r"[^,\]}#\n]*")


def lines_of(text: str) -> dict[Path, int]:
    """The line (from 1) of every table, key and list element of a valid TOML text."""
    return _Scanner(text.replace("\r\n", "\n")).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.list_sizes: dict[Path, int] = {}
        self.newlines = [i for i, character in enumerate(text) if character == "\n"]

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip_blank() < len(self.text):
            if self.text.startswith("[[", self.at):
                table = self._list_header()
            elif self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._key_and_value(table)
        return self.lines

    def _header(self) -> Path:
        line = self._line()
        self.at += 1
        path = self._into(self._key(), line)
        self._past("]")
        return path

    def _list_header(self) -> Path:
        line = self._line()
        self.at += 2
        *parents, name = self._key()
        whole = (*self._into(parents, line), name)
        self.lines.setdefault(whole, line)
        number = self.list_sizes.get(whole, 0)
        self.list_sizes[whole] = number + 1
        self.lines[(*whole, number)] = line
        self._past("]")
        self._past("]")
        return (*whole, number)

    def _into(self, keys: list[str], line: int, start: Path = ()) -> Path:
        """Follow keys from a table; a list stands for its last element so far."""
        path = start
        for key in keys:
            path = (*path, key)
            self.lines.setdefault(path, line)
            if path in self.list_sizes:
                path = (*path, self.list_sizes[path] - 1)
        return path

    def _key_and_value(self, table: Path) -> None:
        line = self._line()
        path = self._into(self._key(), line, table)
        self._past("=")
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip_blank()
        opening = self.text[self.at : self.at + 1]
        if opening == "[":
            self._list(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            match = _STRING.match(self.text, self.at) or _BARE_VALUE.match(self.text, self.at)
            assert match is not None
            self.at = match.end()

    def _list(self, path: Path) -> None:
        self.at += 1
        number = 0
        while not self._closes("]"):
            self.lines[(*path, number)] = self._line()
            self._value((*path, number))
            number += 1
            self._skip_comma()

    def _inline_table(self, path: Path) -> None:
        self.at += 1
        while not self._closes("}"):
            self._key_and_value(path)
            self._skip_comma()

    def _closes(self, bracket: str) -> bool:
        self._skip_blank()
        if not self.text.startswith(bracket, self.at):
            return False
        self.at += 1
        return True

    def _skip_comma(self) -> None:
        self._skip_blank()
        if self.text.startswith(",", self.at):
            self.at += 1

    def _key(self) -> list[str]:
        parts: list[str] = []
        while True:
            self._skip_blank()
            match = _KEY_PART.match(self.text, self.at)
            assert match is not None
            parts.append(_plain(match.group()))
            self.at = match.end()
            dot = _DOT.match(self.text, self.at)
            if dot is None:
                return parts
            self.at = dot.end()

    def _past(self, character: str) -> None:
        self.at = self.text.index(character, self.at) + 1

    def _skip_blank(self) -> int:
        match = _BLANK.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
        return self.at

    def _line(self) -> int:
        return bisect_right(self.newlines, self.at - 1) + 1


def _plain(key: str) -> str:
    if key[0] not in "\"'":
        return key
    return str(tomllib.loads(f"key = {key}")["key"])
