"""The `jifen` command: reads the command line, hands over, and says how it ended.

Exit status: 0 done, 1 done but with rejects or differences, 2 refused. A refusal is one sentence
on standard error, never a traceback.
"""

import argparse
import sys
from collections.abc import Sequence

from jifen.commands import imports, jobs, keys, migrating, programmes, rebuilding, serving
from ledger.settings import Settings

DONE, DONE_WITH_REJECTS, REFUSED = 0, 1, 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status."""
    arguments = build_parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments, Settings.from_environment())
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing is left to tell them.
        sys.stderr.close()
        return REFUSED
    except Exception as problem:
        sentence = _sentence(problem)
        if sentence is None:
            raise
        print(f"jifen: {sentence}", file=sys.stderr)
        return REFUSED
    return status


def _sentence(problem: Exception) -> str | None:
    # Knows every part of the house; needed only when something is refused.
    from jifen.commands.refusals import as_sentence

    return as_sentence(problem)


def build_parser() -> argparse.ArgumentParser:
    """The grammar of the command line: every subcommand with its help and an example."""
    parser = argparse.ArgumentParser(
        prog="jifen",
        description="Jifen, an event-sourced ledger service for loyalty points.",
        epilog=(
            "Settings come from the environment: JIFEN_DATABASE_URL, JIFEN_DATA_DIR and others; "
            "the README lists them. Exit status: 0 done, 1 done with rejects or differences, "
            "2 refused."
        ),
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for group in (serving, migrating, imports, programmes, jobs, rebuilding, keys):
        group.add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
