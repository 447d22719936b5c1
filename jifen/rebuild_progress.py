"""How a rebuild shows itself: a bar on a terminal, silence elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def rebuild_progress(name: str, of: str = "events") -> Iterator[Callable[[int, int], None]]:
    """A function that takes how many events, or members, are done, and how many there are."""
    console = Console(stderr=True)
    with Progress(
        TextColumn(f"{name}: {of}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(name, total=None, visible=False)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, visible=True)

        yield show
