"""How a setting of a programme describes itself, once, for the reader and for the reference page.

A field of a section in `model.py` carries an `About` in its annotation: what the setting is for,
its unit, its limits, the rule of PROGRAMME.md it belongs to. `reading.py` validates by it and
`reference.py` prints it, so that neither can say something else than the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, Struct
from msgspec.structs import fields


class Kind(Enum):
    """What a text or a decimal of a programme stands for."""

    MONEY = "money"
    AMOUNT = "money or percent"
    RATE = "exact number"
    CODE = "code"
    TEXT = "text"
    TIME_ZONE = "time zone"
    CURRENCY = "currency"
    TRIGGER = "trigger"


Money = Annotated[Decimal, Kind.MONEY]
"""Money of the programme's currency, two decimals, at most 99,999,999.99."""

Amount = Annotated[Decimal, Kind.AMOUNT]
"""Money or a percentage, by the kind of the coupon; two decimals."""

Rate = Annotated[Decimal, Kind.RATE]
"""An exact number with up to six decimals: a rate, a multiplier, a share, a weight."""

Code = Annotated[str, Kind.CODE]
"""A name that rules and integrators use: 1-64 of letters, digits, `_ . : -`."""

Text = Annotated[str, Kind.TEXT]
"""A text for people, at most 200 characters."""

Names = Literal["coupon", "tier", "level", "segment", "lifecycle"]


@dataclass(frozen=True)
class About:
    """What the reference says of a setting, and the limits that the reader holds it to."""

    text: str
    unit: str = ""
    rule: str = ""
    least: int | Decimal | None = None
    above: int | None = None
    most: int | Decimal | None = None
    below: int | None = None
    names: Names | None = None
    """The setting's values (or, in a table, its keys) must be codes of these."""
    omitted: str = ""
    """What an omitted key means, where the default does not say it by itself."""
    example: Any = None
    """What a message proposes to write, where the default is no good example."""


@dataclass(frozen=True)
class Setting:
    """One key of one section: how it is written, read and documented."""

    key: str
    attribute: str
    annotation: Any
    about: About
    default: Any

    @property
    def required(self) -> bool:
        """Whether there is no default, so that the key must be written."""
        return self.default is NODEFAULT


@cache
def settings_of(section: type[Struct]) -> tuple[Setting, ...]:
    """The settings of a section, in the order in which the model names them."""
    hints = get_type_hints(section, include_extras=True)
    return tuple(_setting(field, hints[field.name]) for field in fields(section))


def _setting(field: Any, hint: Any) -> Setting:
    default = field.default
    if field.default_factory is not NODEFAULT:
        default = field.default_factory()
    about = next((m for m in metadata_of(hint) if isinstance(m, About)), About(""))
    return Setting(field.encode_name, field.name, hint, about, default)


def metadata_of(annotation: Any) -> tuple[Any, ...]:
    """What stands beside the type in an annotation: its `Kind`, its `About`."""
    return tuple(get_args(annotation)[1:]) if get_origin(annotation) is Annotated else ()


def type_of(annotation: Any) -> Any:
    """The type of an annotation without what stands beside it."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def kind_of(annotation: Any) -> Kind | None:
    """The `Kind` of an annotation, where it has one."""
    return next((m for m in metadata_of(annotation) if isinstance(m, Kind)), None)


def sections_in(annotation: Any) -> Iterator[type[Struct]]:
    """The sections that an annotation mentions, at any depth."""
    bare = type_of(annotation)
    if isinstance(bare, type) and issubclass(bare, Struct):
        yield bare
    else:
        for argument in get_args(bare):
            yield from sections_in(argument)
