"""`jifen programme`."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jifen.commands.grammar import Commands, add_command, add_group, moment
from ledger.settings import Settings

if TYPE_CHECKING:
    from ledger.programme.model import Programme
    from ledger.programme.versions import ProgrammeHistory


def add_to(commands: Commands) -> None:
    """Describe the commands."""
    example = "jifen programme check my-programme.toml"
    group = add_group(commands, "programme", about="check or publish rules", example=example)
    check_parser = add_command(
        group,
        "check",
        check,
        about="say everything that is wrong with a programme, and what it would change "
        "for the latest real orders; writes nothing",
        example="jifen programme check my-programme.toml "
        "--effective-at 2026-12-01T00:00:00+08:00 --orders 5000",
    )
    publish_parser = add_command(
        group,
        "publish",
        publish,
        about="publish a programme as the next version of the rules",
        example="jifen programme publish my-programme.toml "
        "--effective-at 2026-12-01T00:00:00+08:00",
    )
    for parser in (check_parser, publish_parser):
        parser.add_argument("file", type=Path, metavar="FILE", help="the programme, in TOML")
        parser.add_argument(
            "--effective-at",
            type=moment,
            metavar="TIME",
            help="from when the rules decide (default: now)",
        )
    check_parser.add_argument(
        "--orders",
        type=_orders,
        default=1000,
        metavar="N",
        help="try the rules on the latest N orders and N activities (default: 1000)",
    )


def _orders(text: str) -> int:
    """How many orders to try: 0 to 10,000."""
    from ledger.rehearsal import MOST_REHEARSED

    if not text.isascii() or not text.isdigit() or int(text[:9]) > MOST_REHEARSED:
        raise argparse.ArgumentTypeError(f"give a whole number from 0 to {MOST_REHEARSED}")
    return int(text)


def check(arguments: argparse.Namespace, settings: Settings) -> int:
    """Read the file and try it; 2 and all its errors where it can't be published."""
    from jifen.commands.programme_idle import idle_sections
    from jifen.commands.programme_trial import trial_lines
    from ledger.programme import read_programme

    programme = read_programme(_text(arguments.file))
    effective_at = arguments.effective_at or datetime.now(UTC)
    trial = trial_lines(settings, programme, effective_at, arguments.orders)
    print(f"{arguments.file}: the programme {programme.code} can be published.")
    for line in trial:
        print(line)
    if idle := idle_sections(programme):
        print(
            f"Checked and kept, but idle in this version of Jifen: {', '.join(idle)}. "
            "What they rule takes effect once a later version brings it."
        )
    return 0


def publish(arguments: argparse.Namespace, settings: Settings) -> int:
    """Publish the file."""
    from jifen.wiring import OPERATOR, opened
    from ledger.programme import read_programme

    programme = read_programme(_text(arguments.file))
    effective_at = arguments.effective_at or datetime.now(UTC)
    with opened(settings) as ready:
        same = _version_with(ready.ledger.programmes(), programme)
        outcome = ready.ledger.publish(programme, effective_at=effective_at, actor=OPERATOR)
    version = outcome.body["version"]
    done = "Was published before" if outcome.replayed else "Published"
    print(f"{done}: version {version}, from {outcome.body['effective_at']} on.")
    if same is not None and same != version:
        print(f"Its rules are the same as those of version {same}.")
    return 0


def _version_with(history: "ProgrammeHistory", programme: "Programme") -> int | None:
    """The latest version that has the same rules."""
    from ledger.programme.reading import rules_to_json

    rules = rules_to_json(programme)
    for version in reversed(history.versions):
        if rules_to_json(version.programme) == rules:
            return version.number
    return None


def _text(path: Path) -> str:
    from jifen.refused import Refused

    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Refused(f"{path} is not UTF-8 text: save the programme in UTF-8.") from None
    except OSError as problem:
        raise Refused(f"{path} can't be read ({problem.strerror}).") from None
