"""`jifen programme`."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from jifen.commands.grammar import Commands, add_command, add_group, moment
from ledger.settings import Settings


def add_to(commands: Commands) -> None:
    """Describe the commands."""
    example = "jifen programme check my-programme.toml"
    group = add_group(commands, "programme", about="check or publish rules", example=example)
    check_parser = add_command(
        group,
        "check",
        check,
        about="read a programme and say everything that is wrong with it; writes nothing",
        example=example,
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
    publish_parser.add_argument(
        "--effective-at",
        type=moment,
        metavar="TIME",
        help="from when the rules decide (default: now)",
    )


def check(arguments: argparse.Namespace, settings: Settings) -> int:
    """Read the file; 2 and all its errors where it can't be published."""
    from ledger.programme import read_programme

    programme = read_programme(_text(arguments.file))
    print(f"{arguments.file}: the programme {programme.code} can be published.")
    return 0


def publish(arguments: argparse.Namespace, settings: Settings) -> int:
    """Publish the file."""
    from jifen.wiring import OPERATOR, opened
    from ledger.programme import read_programme

    programme = read_programme(_text(arguments.file))
    effective_at = arguments.effective_at or datetime.now(UTC)
    with opened(settings) as ready:
        outcome = ready.ledger.publish(programme, effective_at=effective_at, actor=OPERATOR)
    done = "Was published before" if outcome.replayed else "Published"
    print(f"{done}: version {outcome.body['version']}, from {outcome.body['effective_at']} on.")
    return 0


def _text(path: Path) -> str:
    from jifen.refused import Refused

    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Refused(f"{path} is not UTF-8 text: save the programme in UTF-8.") from None
    except OSError as problem:
        raise Refused(f"{path} can't be read ({problem.strerror}).") from None
