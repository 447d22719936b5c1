"""The reference page of every setting, made from the settings themselves.

`python -m ledger.programme.reference > docs/reference/programme.md` writes it anew; a test fails
where the page and the code differ, or where a setting says nothing about itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import msgspec

from ledger.programme.model import Programme
from ledger.programme.report import written
from ledger.programme.setting import Kind, Setting, kind_of, sections_in, settings_of, type_of

_HEAD = """\
# Programme settings

Every key of a programme file, as `jifen programme check|publish FILE` and `PUT /v1/programme` take
it: TOML, or the same as JSON. `ledger/programme/retail.toml` and `enterprise.toml` are complete
examples. This page is made from the code (`python -m ledger.programme.reference`).

- An omitted section is off; an omitted limit, or 0, is no limit; any other omitted key takes the
  default named here. "required" has no default.
- Money, amounts and exact numbers stand in quotes (`"0.10"`; a whole number may go without):
  money with up to two decimals and at most 99,999,999.99, exact numbers with up to six. They are
  never negative.
- A time carries its offset from UTC (`2026-08-08T00:00:00+08:00`); a date is local to the
  programme.
- A code is 1 to 64 of `A-Z a-z 0-9 _ . : -`; a text has at most 200 characters. Display texts come
  as `{ zh = "…", en = "…" }`; where one is omitted, the other stands in.
- Where a rule names a coupon, a tier, a level, a segment or a lifecycle stage, the programme must
  have it. Where levels, tiers, segments or the lifecycle are off as a whole, rules that name them
  lie idle.
- The number behind a setting is the rule of PROGRAMME.md that it belongs to.
"""

_TYPES: dict[Any, str] = {
    bool: "true or false",
    int: "whole number",
    str: "text",
    Decimal: "exact number",
    datetime: "time",
    date: "date",
}

_KINDS: dict[Kind, str] = {
    Kind.CODE: "code",
    Kind.TIME_ZONE: "IANA name",
    Kind.CURRENCY: "ISO 4217 code",
    Kind.MONEY: "money",
    Kind.AMOUNT: "money or percent",
}


def reference_page() -> str:
    """The page as Markdown."""
    parts = [_HEAD, _table("The programme", "", Programme)]
    for setting in settings_of(Programme):
        parts += _tables_below(setting, "")
    return "\n".join(parts)


def _tables_below(setting: Setting, path: str) -> Iterator[str]:
    for section in sections_in(setting.annotation):
        if section.__name__ == "Texts":
            continue
        here = f"{path}.{setting.key}" if path else setting.key
        if get_origin(_given(setting)) is dict:
            here += ".NAME"
        yield _table(_heading(setting, here, path), _doc(section), section)
        for below in settings_of(section):
            yield from _tables_below(below, here)


def _heading(setting: Setting, here: str, path: str) -> str:
    is_list = get_origin(_given(setting)) is tuple
    return f"`[[{here}]]`" if is_list and not path else f"`[{here}]`"


def _doc(section: type[msgspec.Struct]) -> str:
    return " ".join((section.__doc__ or "").split()) + "\n"


def _table(heading: str, intro: str, section: type[msgspec.Struct]) -> str:
    rows = [
        "| key | what it is | value | default | rule |",
        "|---|---|---|---|---|",
        *(_row(setting) for setting in settings_of(section)),
    ]
    body = "\n".join(rows)
    return f"## {heading}\n\n{intro}\n{body}\n" if intro else f"## {heading}\n\n{body}\n"


def _row(setting: Setting) -> str:
    about = setting.about
    cells = (f"`{setting.key}`", about.text, _value(setting), _default(setting), about.rule)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _value(setting: Setting) -> str:
    about = setting.about
    said = _type(_annotation_given(setting), kind_of(setting.annotation))
    if about.names and get_origin(_given(setting)) is dict:
        said = f"table: {about.names} = {said.removeprefix('table of ')}"
    elif about.names:
        said = said.replace("code", f"{about.names} code")
    said += f", in {about.unit}" if about.unit and about.unit not in said else ""
    limits = [f"above {about.above}" if about.above is not None else ""]
    limits += [f"from {about.least}" if about.least else ""]
    limits += [f"at most {about.most:,}" if about.most is not None else ""]
    limits += [f"below {about.below}" if about.below is not None else ""]
    return ", ".join([said, *filter(None, limits)])


def _given(setting: Setting) -> Any:
    """The type of a setting where it is given at all."""
    return type_of(_annotation_given(setting))


def _annotation_given(setting: Setting) -> Any:
    alternatives = get_args(type_of(setting.annotation))
    is_optional = NoneType in alternatives and len(alternatives) == 2
    return alternatives[0] if is_optional else setting.annotation


def _type(annotation: Any, kind: Kind | None) -> str:
    bare, kind = type_of(annotation), kind or kind_of(annotation)
    origin, arguments = get_origin(bare), get_args(bare)
    if bare == tuple[time, time]:
        return "two times of day"
    if origin is Literal:
        return " or ".join(f"`{written(word)}`" for word in arguments)
    if origin is tuple:
        return f"list of {_type(arguments[0], None)}"
    if origin is dict:
        return f"table of {_type(arguments[1], None)}"
    if arguments:
        return " or ".join(_type(argument, None) for argument in arguments)
    if kind in _KINDS:
        return _KINDS[kind]
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        return "texts" if bare.__name__ == "Texts" else "section"
    return _TYPES[bare]


def _default(setting: Setting) -> str:
    if setting.required:
        return "required"
    if setting.default is None:
        return setting.about.omitted
    if isinstance(setting.default, msgspec.Struct):
        given = {
            s.key: value
            for s in settings_of(type(setting.default))
            if (value := getattr(setting.default, s.attribute)) != s.default
        }
        return f"`{written(given)}`" if given else "its defaults"
    if setting.default in ((), {}):
        return "none"
    return f"`{written(setting.default)}`"


if __name__ == "__main__":
    print(reference_page(), end="")
