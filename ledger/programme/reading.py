"""A programme from its text, or everything that is wrong with the text.

`read_programme` takes what a person wrote (TOML, or the same as JSON) and is strict: every key
must be known, every value right. `programme_from_json` takes what `rules_to_json` stored with
an event, perhaps by an older release, and is lenient: keys unknown today are passed over, keys
added since take their defaults. A stored rule set is never judged by today's checks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from ledger.programme.checks import KnownCodes, check, check_list, check_whole, codes_of, unknown
from ledger.programme.currencies import OTHER_DECIMALS, OTHER_NAMES, TWO_DECIMALS
from ledger.programme.dates import with_fixed_offset
from ledger.programme.model import Programme
from ledger.programme.parsing import parsed_json, parsed_toml
from ledger.programme.report import (
    Format,
    Here,
    ProgrammeError,
    ProgrammeErrors,
    Report,
    shown,
    suggestion,
)
from ledger.programme.sections import Section
from ledger.programme.setting import (
    About,
    Kind,
    Setting,
    kind_of,
    metadata_of,
    settings_of,
    type_of,
)
from ledger.programme.toml_lines import Path

__all__ = [
    "ProgrammeError",
    "ProgrammeErrors",
    "programme_from_json",
    "read_programme",
    "rules_to_json",
]

_CENT = Decimal("0.01")
_MONEY_MOST = Decimal("99999999.99")
_INTEGER_MOST = 1_000_000_000
_RATE_MOST = 1_000_000
_TEXT_MOST = 200
_DECIMAL = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(:00)?")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d.*", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
# Made here, while there is one thread: msgspec 0.22 crashes the process when two threads at once
# are the first to ask for a type.
_DECODER = msgspec.json.Decoder(Programme)


class _Wrong:
    """Stands for a value that could not be read; the report says why."""


_WRONG = _Wrong()


def read_programme(text: str, *, format: Format = "toml") -> Programme:  # noqa: A002
    """The programme that a TOML or JSON text describes.

    Raises ProgrammeErrors with every error found, each with its line (in TOML), the place, and
    what to write instead. A text that is not TOML or JSON at all has one error.
    """
    text = text.removeprefix("\ufeff")
    data, lines = parsed_toml(text) if format == "toml" else (parsed_json(text), {})
    report = Report(data, format, lines)
    programme = _Reader(report, codes_of(data)).programme()
    report.raise_if_any()
    assert isinstance(programme, Programme)
    return programme


def rules_to_json(programme: Programme) -> str:
    """The rule set as canonical JSON: sorted keys, every default written out, no blanks.

    Two rule sets are the same if and only if their texts are. Defaults are written out so that
    a later release with other defaults cannot change what was decided.
    """
    return msgspec.json.encode(programme, order="sorted").decode()


def programme_from_json(text: str) -> Programme:
    """The rule set that `rules_to_json` of this or an earlier release wrote."""
    return _DECODER.decode(text)


class _Reader:
    """Reads each value by the type its setting has, noting what is wrong and going on."""

    def __init__(self, report: Report, codes: KnownCodes) -> None:
        self.report = report
        self.codes = codes
        zone = report.data.get("time_zone")
        known = isinstance(zone, str) and zone in _time_zones()
        self.zone = ZoneInfo(str(zone) if known else "UTC")

    def programme(self) -> Any:
        data = self.report.data
        programme = self._section(Programme, About(""), data, ())
        check_whole(data, Here(self.report, ()))
        return programme

    def _section(self, section: type[msgspec.Struct], about: About, raw: Any, path: Path) -> Any:
        if not isinstance(raw, Mapping):
            return self._no_table(section, about, raw, path)
        settings = {setting.key: setting for setting in settings_of(section)}
        sound = self._only_known_keys(raw, list(settings), path)
        values: dict[str, Any] = {}
        for key, setting in settings.items():
            if raw.get(key) is None:
                sound &= self._may_be_omitted(setting, path)
                continue
            value = self._value(setting.annotation, setting.about, raw[key], (*path, key))
            sound &= value is not _WRONG
            values[setting.attribute] = value
        if not sound:
            return _WRONG
        built = section(**values)
        assert isinstance(built, Section)
        check(built, Here(self.report, path), self.codes)
        return built

    def _no_table(self, section: type[msgspec.Struct], about: About, raw: Any, path: Path) -> Any:
        what = f"{shown(raw)} stands where a table of settings belongs"
        if isinstance(raw, list) and self.report.format == "toml":
            return self._wrong(path, what, f"[{self.report.place(path)}] in single brackets")
        example = about.example or {s.key: _example(s) for s in settings_of(section) if s.required}
        return self._wrong(path, what, self._written_at(path, example or {}))

    def _only_known_keys(self, raw: Mapping[str, Any], known: list[str], path: Path) -> bool:
        sound = True
        for key in raw:
            if key not in known:
                sound = False
                where = f" of {self.report.place(path)}" if path else ""
                self.report.add(
                    (*path, key), f"{shown(key)} is no setting{where}{suggestion(key, known)}"
                )
        return sound

    def _may_be_omitted(self, setting: Setting, path: Path) -> bool:
        if not setting.required:
            return True
        example = self.report.write(setting.key, _example(setting))
        choices = _choices(setting.annotation)
        mend = f", one of {', '.join(choices)}" if choices else ""
        self.report.add(path, f"{setting.key} is missing: add {example}{mend}")
        return False

    def _value(self, annotation: Any, about: About, raw: Any, path: Path) -> Any:
        about = next((m for m in metadata_of(annotation) if isinstance(m, About)), about)
        types = [t for t in _alternatives(annotation) if t is not NoneType]
        if len(types) > 1:
            return self._section_or_word(types, about, raw, path)
        bare, kind = type_of(types[0]), kind_of(annotation) or kind_of(types[0])
        origin = get_origin(bare)
        if origin is Literal:
            return self._word(get_args(bare), raw, path)
        if origin is dict:
            return self._table(get_args(bare)[1], about, raw, path)
        if bare == tuple[time, time]:
            return self._hours(raw, path)
        if origin is tuple:
            return self._list(get_args(bare)[0], about, raw, path)
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            return self._section(bare, about, raw, path)
        read = _READERS[bare]
        return read(self, kind, about, raw, path)

    def _section_or_word(self, types: list[Any], about: About, raw: Any, path: Path) -> Any:
        section, word = types
        if isinstance(raw, Mapping):
            return self._section(section, about, raw, path)
        if raw in get_args(word):
            return raw
        return self._wrong(
            path,
            f"{shown(raw)} cannot be read",
            f"{self._example(path, about, None)} or "
            f"{self.report.write(str(path[-1]), get_args(word)[0])}",
        )

    def _word(self, words: tuple[Any, ...], raw: Any, path: Path) -> Any:
        if isinstance(raw, str) and raw in words:
            return raw
        self.report.add(
            path,
            f"{shown(raw)} is not one of {', '.join(words)}{suggestion(raw, list(words))}"
            if isinstance(raw, str)
            else f"{shown(raw)} is not one of {', '.join(words)}: write "
            f"{self._written_at(path, words[0])}",
        )
        return _WRONG

    def _table(self, of: Any, about: About, raw: Any, path: Path) -> Any:
        if not isinstance(raw, Mapping):
            return self._wrong(path, f"{shown(raw)} stands where a table belongs", "key = value")
        values: dict[str, Any] = {}
        sound = True
        for key, value in raw.items():
            here = (*path, key)
            read = self._value(of, about, value, here)
            sound &= read is not _WRONG and self._key(about, key, here)
            values[key] = read
        return values if sound else _WRONG

    def _key(self, about: About, key: str, path: Path) -> bool:
        if not _CODE.fullmatch(key):
            self.report.add(path, f"{shown(key)} is no code: {_CODE_MEND}")
            return False
        return self._is_known(about, key, path)

    def _list(self, of: Any, about: About, raw: Any, path: Path) -> Any:
        if not isinstance(raw, list):
            example = self._written_at(path, _list_example(of, about))
            if isinstance(raw, Mapping) and self.report.format == "toml":
                example = f"[[{self.report.place(path)}]] in double brackets"
            return self._wrong(path, f"{shown(raw)} stands where a list belongs", example)
        read = [self._value(of, about, value, (*path, n)) for n, value in enumerate(raw)]
        sound = [(n, value) for n, value in enumerate(read) if value is not _WRONG]
        if sound:
            check_list(sound, str(path[-1]), Here(self.report, path[:-1]))
        return tuple(read) if len(sound) == len(read) else _WRONG

    def _hours(self, raw: Any, path: Path) -> Any:
        texts = (
            [f"{v:%H:%M}" if isinstance(v, time) else v for v in raw]
            if (isinstance(raw, list) and len(raw) == 2)
            else []
        )
        matches = [_TIME_OF_DAY.fullmatch(t) if isinstance(t, str) else None for t in texts]
        if len(matches) != 2 or None in matches:
            return self._wrong(
                path, "two times of day are needed", self._written_at(path, ["22:00", "08:00"])
            )
        return tuple(time(int(m[1]), int(m[2])) for m in matches if m)

    # Single values

    def bool_(self, kind: Kind | None, about: About, raw: Any, path: Path) -> Any:
        if isinstance(raw, bool):
            return raw
        return self._wrong(
            path, f"{shown(raw)} is neither true nor false", self._written_at(path, True)
        )

    def int_(self, kind: Kind | None, about: About, raw: Any, path: Path) -> Any:
        if isinstance(raw, int) and not isinstance(raw, bool):
            return self._within(about, _INTEGER_MOST, raw, path)
        return self._wrong(
            path,
            f"{shown(raw)} is not a whole number",
            f"{self._example(path, about, self._near_integer(raw))}, without quotes or decimals",
        )

    def _near_integer(self, raw: Any) -> int:
        text = str(raw) if isinstance(raw, str | Decimal) else ""
        if _DECIMAL.fullmatch(text) and abs(Decimal(text)) < _INTEGER_MOST:
            return abs(int(Decimal(text)))
        return 10

    def decimal_(self, kind: Kind | None, about: About, raw: Any, path: Path) -> Any:
        is_money = kind in (Kind.MONEY, Kind.AMOUNT)
        noun = "money" if kind is Kind.MONEY else "an amount" if is_money else "an exact number"
        if isinstance(raw, int) and not isinstance(raw, bool) and abs(raw) < 10**18:
            raw = str(raw)
        if isinstance(raw, Decimal):
            places = 2 if is_money else 6
            fits = raw.is_finite() and 0 <= raw < _RATE_MOST and raw == round(raw, places)
            return self._wrong(
                path,
                f"{shown(raw)} is a number without quotes, which is not exact"
                if raw.is_finite()
                else f"{shown(raw)} is not a number",
                self._written_at(path, f"{raw:f}" if fits else _fallback(kind, about)),
            )
        if not isinstance(raw, str) or not _DECIMAL.fullmatch(raw):
            return self._wrong(
                path,
                f"{shown(raw)} is not {noun}",
                self._written_at(path, about.example or _fallback(kind, about))
                + " (digits in quotes)",
            )
        places, value = (2 if is_money else 6), Decimal(raw)
        if value != round(value, places):
            return self._wrong(
                path,
                f"{shown(raw)} has more than {'two' if is_money else 'six'} decimals",
                self._written_at(path, str(_rounded(value, places))),
            )
        limited = self._within(about, _MONEY_MOST if is_money else _RATE_MOST, value, path)
        if limited is _WRONG:
            return _WRONG
        return value.quantize(_CENT) if is_money else Decimal(_plain_number(value))

    def _within(self, about: About, most: Decimal | int, value: Any, path: Path) -> Any:
        least = about.least if about.least is not None else 0
        most = about.most if about.most is not None else most
        if about.above is not None and value <= about.above:
            said = f"more than {about.above}"
        elif value < least:
            said = f"{least} or more"
        elif value > most:
            said = f"at most {most}"
        elif about.below is not None and value >= about.below:
            said = f"less than {about.below}"
        else:
            return value
        sign = "is negative" if value < 0 else "is too small" if value <= least else "is too large"
        return self._wrong(path, f"{shown(value)} {sign}", said)

    def str_(self, kind: Kind | None, about: About, raw: Any, path: Path) -> Any:
        if not isinstance(raw, str):
            example = about.example if isinstance(about.example, str) else "text"
            return self._wrong(
                path,
                f"{shown(raw)} is not a text",
                self._written_at(path, str(raw) if isinstance(raw, int) else example),
            )
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in raw):
            return self._wrong(path, "the text holds a control character", "it without")
        sound = _TEXT_CHECKS[kind](self, raw, path) if kind else True
        return raw if sound and self._is_known(about, raw, path) else _WRONG

    def code(self, raw: str, path: Path) -> bool:
        if _CODE.fullmatch(raw):
            return True
        self.report.add(path, f"{shown(raw)} is no code: {_CODE_MEND}")
        return False

    def text(self, raw: str, path: Path) -> bool:
        if raw.strip() and len(raw) <= _TEXT_MOST:
            return True
        said = f"has {len(raw)} characters" if raw.strip() else "is empty"
        self.report.add(path, f"the text {said}: write 1 to {_TEXT_MOST}")
        return False

    def time_zone(self, raw: str, path: Path) -> bool:
        if raw in _time_zones():
            return True
        near = suggestion(raw, sorted(_time_zones()))
        mend = near if "did you mean" in near else ': write a name such as "Asia/Shanghai"'
        self.report.add(path, f"{shown(raw)} is no time zone{mend}")
        return False

    def currency(self, raw: str, path: Path) -> bool:
        if raw in TWO_DECIMALS:
            return True
        if raw in OTHER_DECIMALS:
            self.report.add(
                path,
                f"{raw} has {OTHER_DECIMALS[raw] or 'no'} decimals; money is kept with two: "
                "write a currency with two decimals",
            )
            return False
        meant = OTHER_NAMES.get(raw.upper(), raw.upper())
        is_clear = meant in TWO_DECIMALS
        mend = f'; did you mean "{meant}"?' if is_clear else ': write an ISO 4217 code, as "CNY"'
        self.report.add(path, f"{shown(raw)} is no currency{mend}")
        return False

    def trigger(self, raw: str, path: Path) -> bool:
        return True

    def datetime_(self, kind: Kind | None, about: About, raw: Any, path: Path) -> Any:
        moment = raw
        if isinstance(raw, str) and _MOMENT.fullmatch(raw):
            try:
                moment = datetime.fromisoformat(raw)
            except ValueError:
                moment = None
        if isinstance(moment, datetime):
            if moment.tzinfo is None:
                return self._wrong(
                    path,
                    f"{shown(raw)} does not say its offset from UTC",
                    self._written_at(path, with_fixed_offset(self._local(moment), self.zone)),
                )
            return self._in_range(moment, raw, path)
        day = date.fromisoformat(raw) if _is_day(raw) else raw
        if not isinstance(day, date) or isinstance(day, datetime):
            day = date(2026, 8, 8)
        example = with_fixed_offset(datetime.combine(day, time(), tzinfo=self.zone), self.zone)
        return self._wrong(
            path, f"{shown(raw)} is not a date with time", self._written_at(path, example)
        )

    def _local(self, naive: datetime) -> datetime:
        return naive.replace(tzinfo=self.zone)

    def _in_range(self, moment: datetime, raw: Any, path: Path) -> Any:
        if not 1900 <= moment.year <= 9000:
            return self._wrong(path, f"the year of {shown(raw)} is out of range", "1900 to 9000")
        return with_fixed_offset(moment, self.zone)

    def date_(self, kind: Kind | None, about: About, raw: Any, path: Path) -> Any:
        day = date.fromisoformat(raw) if _is_day(raw) else raw
        if isinstance(day, date) and not isinstance(day, datetime) and 1900 <= day.year <= 9000:
            return day
        return self._wrong(
            path,
            f"{shown(raw)} is not a date",
            self._written_at(path, raw.date() if isinstance(raw, datetime) else date(2026, 8, 8)),
        )

    # Messages

    def _is_known(self, about: About, code: str, path: Path) -> bool:
        if about.names is None:
            return True
        known = self.codes[about.names]
        # Where the whole section is off, what names it lies idle with it.
        if known is None or code in known:
            return True
        self.report.add(path, unknown(about.names, code, known))
        return False

    def _wrong(self, path: Path, what: str, mend: str) -> _Wrong:
        self.report.add(path, f"{what}: write {mend}")
        return _WRONG

    def _example(self, path: Path, about: About, value: Any) -> str:
        return self._written_at(path, about.example if about.example is not None else value)

    def _written_at(self, path: Path, value: Any) -> str:
        """The value under its key; an element of a list stands alone."""
        key = path[-1]
        return self.report.written(value) if isinstance(key, int) else self.report.write(key, value)


_CODE_MEND = "write 1 to 64 of A-Z a-z 0-9 _ . : - (names for people go into name)"

_READERS: dict[Any, Callable[[_Reader, Kind | None, About, Any, Path], Any]] = {
    bool: _Reader.bool_,
    int: _Reader.int_,
    str: _Reader.str_,
    Decimal: _Reader.decimal_,
    datetime: _Reader.datetime_,
    date: _Reader.date_,
}

_TEXT_CHECKS: dict[Kind, Callable[[_Reader, str, Path], bool]] = {
    Kind.CODE: _Reader.code,
    Kind.TEXT: _Reader.text,
    Kind.TIME_ZONE: _Reader.time_zone,
    Kind.CURRENCY: _Reader.currency,
    Kind.TRIGGER: _Reader.trigger,
}


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    bare = type_of(annotation)
    return get_args(bare) if get_origin(bare) in (Union, UnionType) else (annotation,)


def _choices(annotation: Any) -> tuple[str, ...]:
    bare = type_of(annotation)
    return get_args(bare) if get_origin(bare) is Literal else ()


def _example(setting: Setting) -> Any:
    """A value to propose for a key that is missing."""
    if setting.about.example is not None:
        return setting.about.example
    choices = _choices(setting.annotation)
    if choices:
        return choices[0]
    bare = type_of(setting.annotation)
    if bare is int:
        return 10
    if bare is datetime:
        return datetime.fromisoformat("2026-08-08T00:00:00+08:00")
    if get_origin(bare) is tuple:
        return _list_example(get_args(bare)[0], setting.about)
    if bare is Decimal:
        return _fallback(kind_of(setting.annotation), setting.about)
    return setting.key


def _list_example(of: Any, about: About) -> list[Any]:
    if about.example is not None:
        return list(about.example)
    bare = type_of(of)
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        return [{s.key: _example(s) for s in settings_of(bare) if s.required}]
    choices = _choices(of)
    return [choices[0] if choices else "A1"]


def _fallback(kind: Kind | None, about: About) -> str:
    if 1 in (about.most, about.below):
        return "0.10"
    return "1.2" if kind is Kind.RATE else "100.00"


def _plain_number(value: Decimal) -> str:
    """The number without exponent and without zeros behind its decimals."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _rounded(value: Decimal, places: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


def _is_day(raw: Any) -> bool:
    if not isinstance(raw, str) or not _DAY.fullmatch(raw):
        return False
    try:
        date.fromisoformat(raw)
    except ValueError:
        return False
    return True


@cache
def _time_zones() -> frozenset[str]:
    # "localtime" and the like mean another zone on another machine.
    return frozenset(
        zone for zone in available_timezones() if "/" in zone or zone in ("UTC", "GMT")
    )
