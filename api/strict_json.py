"""JSON as RFC 8259 has it, and nothing that two readers could understand differently.

Refused: NaN and Infinity, numbers beyond a float (1e400), a name given twice, nesting too deep,
bytes that are not UTF-8.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

from ledger.errors import Refusal


def read_json(body: bytes) -> Any:
    """The value that `body` holds. Raises `Refusal` malformed_json, which says where it breaks."""
    if not body.strip():
        raise _malformed("the body is empty")
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise _malformed("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _malformed(f"{error.msg} ({where})") from None
    except RecursionError:
        raise _malformed("it is nested too deeply") from None
    except ValueError as error:
        raise _malformed(str(error)) from None


def _malformed(reason: str) -> Refusal:
    return Refusal("malformed_json", f"Send one valid JSON value: {reason}.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number is out of range")
    return value


def _whole_number(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("a number is out of range")
    return int(text)


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


# Python itself refuses to read far longer ones; nothing of ours has more digits than a bigint.
_LONGEST_NUMBER: Final = 400

_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_once,
    parse_float=_number,
    parse_int=_whole_number,
    parse_constant=_constant,
)
