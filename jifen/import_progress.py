"""How an import shows itself: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from jifen.order_files import ImportResult, counted

SECONDS_BETWEEN_LINES: Final = 5.0

Show = Callable[[ImportResult], None]


@contextmanager
def import_progress(console: Console | None = None) -> Iterator[Show]:
    """A function to hand to `import_orders` as `progress`; `console` is standard error."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console)
        return
    with _bar(console) as bar:
        task = bar.add_task("orders", total=None, counts="reading …")

        def show(result: ImportResult) -> None:
            known = result.fraction is not None
            bar.update(
                task,
                total=1.0 if known else None,
                completed=result.fraction or 0.0,
                counts=_counts(result),
            )

        yield show


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.fields[counts]}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _lines(console: Console) -> Show:
    last = time.monotonic()

    def show(result: ImportResult) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            console.print(_counts(result) + _remaining(result), highlight=False, soft_wrap=True)

    return show


def _counts(result: ImportResult) -> str:
    return (
        f"{counted(result.read, 'row')}, {result.rows_per_second:,.0f}/s, "
        f"{result.repeated:,} already there, {result.rejected:,} rejected"
    )


def _remaining(result: ImportResult) -> str:
    if not result.fraction:
        return ""
    seconds = result.seconds * (1 - result.fraction) / result.fraction
    return f", {result.fraction:.0%}, about {seconds:,.0f} s left"
