"""What a single value may look like: the one definition of each constraint (API.md, Conventions).

The same fields read bodies, batches and query strings, and make the OpenAPI document. A message
says what to give; it never repeats the value, which may be personal.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import marshmallow as ma

ID_PATTERN: Final = r"[A-Za-z0-9._:-]{1,64}"
MONEY_PATTERN: Final = r"[0-9]{1,8}(\.[0-9]{1,2})?"
TIME_PATTERN: Final = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
DATE_PATTERN: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"

LARGEST_POINTS: Final = 1_000_000_000
LARGEST_POSITION: Final = 2**63 - 1
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)
"""Only so that arithmetic on dates never overflows; the ledger refuses the future."""

_ID: Final = re.compile(ID_PATTERN)
_MONEY: Final = re.compile(MONEY_PATTERN)
_TIME: Final = re.compile(TIME_PATTERN)
_DATE: Final = re.compile(DATE_PATTERN)
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
# PostgreSQL stores no NUL, UTF-8 has no lone surrogates.
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_LOST_PLUS: Final = re.compile(r" (?=[0-9]{2}:[0-9]{2}$)")
_CENT: Final = Decimal("0.01")

_REQUIRED: Final = "Give this field."
_NULL: Final = "Give a value, not null."


class _Value(ma.fields.Field[Any]):
    """A value that `read` understands or refuses; its messages say what to do."""

    default_error_messages = {"required": _REQUIRED, "null": _NULL}  # noqa: RUF012

    def __init__(self, kwargs: dict[str, Any], **properties: Any) -> None:
        """`properties` and the metadata among `kwargs` say in OpenAPI what is accepted."""
        metadata = {**properties, **kwargs.pop("metadata", {})}
        super().__init__(metadata=metadata, **kwargs)

    def read(self, value: Any) -> Any:
        """The value as the domain wants it. Raises `ValidationError`."""
        raise NotImplementedError

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        return self.read(value)


class Id(_Value):
    """An id of the caller's: 1–64 of `A–Z a–z 0–9 . _ : -`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(kwargs, type="string", pattern=f"^{ID_PATTERN}$")

    def read(self, value: Any) -> str:
        if type(value) is str and _ID.fullmatch(value):
            return value
        raise ma.ValidationError("Give a string of 1 to 64 of A-Z a-z 0-9 . _ : -")


class Text(_Value):
    """Free text of `shortest` to `longest` characters, without NUL and lone surrogates."""

    def __init__(self, longest: int, shortest: int = 1, **kwargs: Any) -> None:
        self.longest = longest
        self.shortest = shortest
        super().__init__(kwargs, type="string", minLength=shortest, maxLength=longest)

    def read(self, value: Any) -> str:
        if (
            type(value) is str
            and self.shortest <= len(value) <= self.longest
            and not _UNSTORABLE.search(value)
        ):
            return value
        raise ma.ValidationError(
            f"Give a string of {self.shortest} to {self.longest} characters, without NUL."
        )


class QueryPhone(Text):
    """A phone number in a query string, where an unescaped `+` arrives as a blank."""

    def read(self, value: Any) -> str:
        given = super().read(value)
        return f"+{given[1:]}" if given[0] == " " else given


class OperationKey(_Value):
    """An idempotency key inside a batch: 1–255 visible ASCII characters, as in the header."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(kwargs, type="string", pattern="^[!-~]{1,255}$")

    def read(self, value: Any) -> str:
        if is_visible(value, 255):
            return str(value)
        raise ma.ValidationError("Give 1 to 255 visible ASCII characters.")


class Money(_Value):
    """An amount as a string of ASCII digits with at most two decimals; read as two places."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(kwargs, type="string", pattern=f"^{MONEY_PATTERN}$")

    def read(self, value: Any) -> Decimal:
        if type(value) is str and _MONEY.fullmatch(value):
            return Decimal(value).quantize(_CENT)
        raise ma.ValidationError(
            'Give a string of digits with at most two decimals, such as "148.60", '
            "at most 99999999.99, without sign."
        )


class Instant(_Value):
    """A moment, RFC 3339 with its offset; read as UTC."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(kwargs, type="string", format="date-time")

    def read(self, value: Any) -> datetime:
        if type(value) is str and _TIME.fullmatch(value):
            try:
                moment = datetime.fromisoformat(value.upper()).astimezone(UTC)
            except (ValueError, OverflowError):
                raise ma.ValidationError("There is no such time.") from None
            if EARLIEST <= moment <= LATEST:
                return moment
            raise ma.ValidationError("Give a time from 1970 on.")
        raise ma.ValidationError("Give a time with its offset, such as 2026-05-01T12:00:00+08:00.")


class QueryInstant(Instant):
    """A moment in a query string, where an unescaped `+` arrives as a blank."""

    def read(self, value: Any) -> datetime:
        if type(value) is str:
            value = _LOST_PLUS.sub("+", value)
        return super().read(value)


class Day(_Value):
    """A calendar date, `YYYY-MM-DD`, of the years 1900 to 2100."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(kwargs, type="string", format="date")

    def read(self, value: Any) -> date:
        if type(value) is str and _DATE.fullmatch(value):
            try:
                day = date.fromisoformat(value)
            except ValueError:
                raise ma.ValidationError("There is no such date.") from None
            if 1900 <= day.year <= 2100:
                return day
        raise ma.ValidationError("Give a date as YYYY-MM-DD, of the years 1900 to 2100.")


class Whole(_Value):
    """A JSON integer from `least` to `most`; neither `true` nor `1.0` is one."""

    def __init__(self, least: int, most: int, **kwargs: Any) -> None:
        self.least = least
        self.most = most
        super().__init__(kwargs, type="integer", minimum=least, maximum=most)

    def read(self, value: Any) -> int:
        if type(value) is int and self.least <= value <= self.most:
            return value
        raise ma.ValidationError(f"Give an integer from {self.least} to {self.most}.")


class QueryWhole(Whole):
    """An integer in a query string."""

    def read(self, value: Any) -> int:
        digits = value if type(value) is str and value.isascii() and len(value) <= 19 else ""
        number = int(digits) if digits.isdigit() else None
        return super().read(number)


class Flag(_Value):
    """`true` or `false`; no 0, no "yes"."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(kwargs, type="boolean")

    def read(self, value: Any) -> bool:
        if type(value) is bool:
            return value
        raise ma.ValidationError("Give true or false.")


class Choice(_Value):
    """One of a few words."""

    def __init__(self, *words: str, **kwargs: Any) -> None:
        self.words = words
        super().__init__(kwargs, type="string", enum=list(words))

    def read(self, value: Any) -> str:
        if type(value) is str and value in self.words:
            return value
        raise ma.ValidationError(f"Give one of: {', '.join(self.words)}.")


class Several(ma.fields.List[Any]):
    """A list of at most `most` values."""

    default_error_messages = {  # noqa: RUF012
        "required": _REQUIRED,
        "null": _NULL,
        "invalid": "Give a list.",
    }

    def __init__(self, inner: ma.fields.Field[Any], most: int, **kwargs: Any) -> None:
        self.most = most
        metadata = {"maxItems": most, **kwargs.pop("metadata", {})}
        super().__init__(inner, metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if type(value) is list and len(value) > self.most:
            raise ma.ValidationError(f"Give at most {self.most} of them.")
        return super()._deserialize(value, attr, data, **kwargs)


class Flags(_Value):
    """An object of names and `true` or `false`."""

    def __init__(self, most: int, **kwargs: Any) -> None:
        self.most = most
        names = {"minLength": 1, "maxLength": 64}
        super().__init__(
            kwargs,
            type="object",
            maxProperties=most,
            propertyNames=names,
            additionalProperties={"type": "boolean"},
        )

    def read(self, value: Any) -> dict[str, bool]:
        if type(value) is dict and len(value) <= self.most and all(map(_is_flag, value.items())):
            return value
        raise ma.ValidationError(
            f"Give an object of at most {self.most} names of 1 to 64 characters, "
            "each true or false."
        )


class Answers(_Value):
    """An object of names and what was answered: a text, an integer, `true` or `false`."""

    MOST = 100
    LONGEST = 2000

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            kwargs,
            type="object",
            maxProperties=self.MOST,
            propertyNames={"minLength": 1, "maxLength": 64},
            additionalProperties={
                "anyOf": [
                    {"type": "string", "maxLength": self.LONGEST},
                    {"type": "integer", "minimum": -LARGEST_POINTS, "maximum": LARGEST_POINTS},
                    {"type": "boolean"},
                ]
            },
        )

    def read(self, value: Any) -> dict[str, Any]:
        if type(value) is dict and len(value) <= self.MOST and all(map(_is_answer, value.items())):
            return value
        raise ma.ValidationError(
            f"Give an object of at most {self.MOST} names of 1 to 64 characters, each a string of "
            f"at most {self.LONGEST} characters, an integer, true or false."
        )


def is_visible(value: object, longest: int) -> bool:
    """Whether it is a string of 1 to `longest` visible ASCII characters."""
    return type(value) is str and len(value) <= longest and bool(_VISIBLE.fullmatch(value))


def is_storable(value: str) -> bool:
    """Whether PostgreSQL can hold the text, and UTF-8 say it."""
    return not _UNSTORABLE.search(value)


def _is_flag(item: tuple[str, object]) -> bool:
    name, value = item
    return type(value) is bool and 1 <= len(name) <= 64 and is_storable(name)


def _is_answer(item: tuple[str, object]) -> bool:
    name, value = item
    if not (1 <= len(name) <= 64 and is_storable(name)):
        return False
    if type(value) is str:
        return len(value) <= Answers.LONGEST and is_storable(value)
    if type(value) is int:
        return abs(value) <= LARGEST_POINTS
    return type(value) is bool
