"""The data of a TOML or JSON text, or why it is neither.

Numbers with decimals come as Decimal, exactly as written; nothing passes through a float.
"""

from __future__ import annotations

import json
import re
import tomllib
from decimal import Decimal
from typing import Any

from ledger.programme.report import ProgrammeError, ProgrammeErrors, shown
from ledger.programme.toml_lines import Path, lines_of

_KEY_AND_VALUE = 'a key and its value are needed: write key = "value"'


def parsed_toml(text: str) -> tuple[dict[str, Any], dict[Path, int]]:
    """The data of a TOML text, and on which line each key of it stands."""
    try:
        return tomllib.loads(text, parse_float=Decimal), lines_of(text)
    except tomllib.TOMLDecodeError as error:
        raise ProgrammeErrors([_toml_error(str(error), text)]) from None
    except RecursionError:
        raise _unreadable("tables or lists stand inside each other too deeply") from None
    except ValueError:
        # The interpreter refuses to convert an integer of thousands of digits.
        raise _unreadable("a number has too many digits") from None


def _toml_error(message: str, text: str) -> ProgrammeError:
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", message)
    said, line = (found[1], found[2]) if found else (message, None)
    number = int(line) if line else text.count("\n") + 1
    mends = {
        "Cannot overwrite a value": "this key stands twice: keep one of the two",
        "Invalid value": 'the value cannot be read: put texts, money and rates in quotes ("0.10")',
        "Expected '=' after a key in a key/value pair": _KEY_AND_VALUE,
        "Invalid statement": _KEY_AND_VALUE,
        "Expected newline or end of document after a statement": (
            "there is something behind the value: write one key in a line, and texts in quotes"
        ),
        "Unclosed array": "a list is not closed: add ]",
        "Unclosed inline table": "a table is not closed: add }",
    }
    if said.startswith("Cannot declare"):
        mend = "this section stands twice: keep one of the two"
    else:
        mend = mends.get(said, f"this is not TOML ({said.lower()})")
    lines = text.replace("\r\n", "\n").split("\n")
    quoted = lines[number - 1].strip() if number <= len(lines) else ""
    return ProgrammeError(number, "", f"{mend}; it reads {shown(quoted)}" if quoted else mend)


def parsed_json(text: str) -> dict[str, Any]:
    """The data of a JSON text; an object may not have a key twice."""
    try:
        data = json.loads(
            text,
            parse_float=Decimal,
            parse_constant=Decimal,
            object_pairs_hook=_without_repeats,
        )
    except json.JSONDecodeError as error:
        raise ProgrammeErrors(
            [ProgrammeError(error.lineno, "", f"this is not JSON: {error.msg}")]
        ) from None
    except ProgrammeErrors:
        raise
    except RecursionError:
        raise _unreadable("objects or lists stand inside each other too deeply") from None
    except ValueError:
        raise _unreadable("a number has too many digits") from None
    if not isinstance(data, dict):
        raise _unreadable(f"a programme is an object of sections, not {shown(data)}")
    return data


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _unreadable(f"the key {shown(twice)} stands twice: keep one of the two")
    return data


def _unreadable(message: str) -> ProgrammeErrors:
    return ProgrammeErrors([ProgrammeError(None, "", message)])
