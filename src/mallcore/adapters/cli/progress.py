"""Progress of long work on a terminal; where nobody watches, nothing is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mallcore.adapters.cli.output import Output
from mallcore.kernel import progress as kernel

T = TypeVar("T")


class Bars:
    """One bar for each stage of the work, in the order they begin."""

    def __init__(self, drawn: Progress) -> None:
        self._drawn = drawn
        self._tasks: dict[str, int] = {}
        self._current = ""

    def told(self, stage: str, done: int, total: int | None) -> None:
        """A stage is so far; those before it are over."""
        if stage != self._current:
            self.finish()
            self._current = stage
        if stage not in self._tasks:
            self._tasks[stage] = self._drawn.add_task(stage, total=total)
        self._drawn.update(self._tasks[stage], completed=done, total=total)  # type: ignore[arg-type]

    def finish(self) -> None:
        """The stage under way is over."""
        for task in self._drawn.tasks:
            if task.description == self._current and not task.finished:
                total = task.total if task.total is not None else 1
                self._drawn.update(task.id, total=total, completed=total)


@contextmanager
def bars(out: Output) -> Iterator[Bars]:
    """Bars for the stages of what is called in the block; they vanish when it is over."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    drawn = Progress(*columns, console=out.notes, transient=True)
    shown = Bars(drawn)
    if not out.watched:
        yield shown
        return
    with drawn, kernel.watched(shown.told):
        yield shown


def tracked(out: Output, name: str, items: Iterable[T], total: int) -> Iterator[T]:
    """The items, one by one, with a bar."""
    with bars(out) as shown:
        step = max(1, total // 200)
        for number, item in enumerate(items, 1):
            if number % step == 0:
                shown.told(name, min(number, total), total)
            yield item
