"""The reference page of every setting of the service, made from the settings themselves.

`python -m ledger.settings_reference > docs/reference/settings.md` writes it anew; a test fails
where the page and the code differ.
"""

from __future__ import annotations

from dataclasses import Field, fields
from pathlib import Path
from typing import Any, Final

from ledger.settings import Settings

_HEAD: Final = """\
# Settings

Every setting of the service, read from the environment when a `jifen` command starts. An empty
value is no value; a value that can't be right is refused by name, before anything else is done.
This page is made from the code (`python -m ledger.settings_reference`). The rules of a programme
are no settings: they are [data](programme.md).

| variable | default | value | meaning |
|---|---|---|---|
"""

_UNSET: Final = {
    "JIFEN_DATABASE_URL": "an embedded server",
    "JIFEN_ADMIN_KEY": "one is made",
    "JIFEN_PROGRAMME": "the shipped `retail`",
}
"""What holds where nothing is set and the default is no value."""


def settings_page() -> str:
    """The page as Markdown."""
    return _HEAD + "".join(_row(setting) for setting in fields(Settings))


def _row(setting: Field[Any]) -> str:
    about = setting.metadata
    variable = about["variable"]
    default = _UNSET[variable] if setting.default is None else f"`{setting.default}`"
    return f"| `{variable}` | {default} | {_value(setting)} | {about['meaning']} |\n"


def _value(setting: Field[Any]) -> str:
    """What can be given: the setting's own reader says it of a value that it can't take."""
    try:
        taken = setting.metadata["read"]("?")
    except ValueError as expected:
        return str(expected)
    return "a path" if isinstance(taken, Path) else "text"


if __name__ == "__main__":
    print(settings_page(), end="")
