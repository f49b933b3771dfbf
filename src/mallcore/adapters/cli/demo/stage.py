"""What the demo looks like: numbered steps, each with what it shows, how one types it, and the time it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mallcore.adapters.cli.output import Output, clean

WIDTH = 96
_INDENT = 4


@dataclass
class Step:
    """One step: what was said, what was seen, and how long the mall worked."""

    title: str
    told: str
    command: str = ""
    seconds: float = 0.0
    lines: list[Text] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """What is done in the block counts as the mall's work."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - began

    def line(self, text: str, style: str = "") -> None:
        """Show a line."""
        self.lines.append(Text(clean(text), style))

    def difference(self, text: str, most: int = 12) -> None:
        """Show the lines of a difference, and how many more there are."""
        colours = {"+": "green", "-": "red", ">": "cyan", "~": "yellow"}
        found = text.splitlines()
        for line in found[:most]:
            self.line(line, colours.get(line[:1], ""))
        if len(found) > most:
            self.line(f"… and {len(found) - most:,} more", "dim")


class Stage:
    """Where the steps are shown, as they are done; for a program they are collected."""

    def __init__(self, out: Output) -> None:
        self.out = out
        self.steps: list[Step] = []

    @contextmanager
    def step(self, title: str, told: str, command: str = "") -> Iterator[Step]:
        """Do a step in the block; it is shown at its end."""
        step = Step(title, " ".join(told.split()), command)
        yield step
        self.steps.append(step)
        if not self.out.json:
            self._show(step)

    def _show(self, step: Step) -> None:
        width = min(self.out.text.width, WIDTH)
        head = Table.grid(expand=True)
        head.add_column(ratio=1)
        head.add_column(justify="right")
        head.add_row(Text(f"{len(self.steps):2}  {step.title}", "bold cyan"), Text(duration(step.seconds), "magenta"))
        self.out.draw(head, width)
        self._paragraph(Text(step.told, "italic"), width)
        if step.command:
            self.out.say(f"{' ' * _INDENT}$ {step.command}", "dim")  # whole, so that it can be copied
        for line in step.lines:
            self._paragraph(line, width)
        self.out.say()

    def _paragraph(self, text: Text, width: int) -> None:
        self.out.draw(Padding(text, (0, 0, 0, _INDENT), expand=False), width)

    def summary(self) -> list[dict[str, Any]]:
        """All steps as values."""
        return [{"step": one.title, "ms": round(one.seconds * 1000, 3), **one.facts} for one in self.steps]


def duration(seconds: float) -> str:
    """A time as people read it.

    >>> duration(0.0000042), duration(0.0123), duration(2.5), duration(0)
    ('4 µs', '12.3 ms', '2.50 s', '')
    """
    if seconds <= 0:
        return ""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
