"""Derivatives with Pillow (``pip install "mallcore[images]"``), each drawn in a process of its own.

A decoder is C code that reads what strangers send, and can't be stopped from within. So the system limits what its
process may have (memory, time, output), and its crash is one refused picture.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, BinaryIO

from mallcore.attachments import Derive, Facts, Recipe
from mallcore.backends import pillow_worker
from mallcore.errors import CannotDerive, MissingExtra, Unavailable
from mallcore.kernel.hooks import hookimpl

__all__ = ["Pillow"]

_LARGEST = 64 << 20
_MEMORY = 1536 << 20  # of addresses: what the libraries map and never touch is among it


class Pillow:
    """A plug-in, and the `Derive` it provides.

    ``isolated=False`` draws in this process, quicker and without the limits of time and memory: for pictures from
    people one trusts, or where no process can be started. ``most_pixels`` bounds what is ever decoded, whatever a slot
    allows; ``seconds`` and ``memory`` (bytes) what drawing one picture may take, and ``at_once`` how many are drawn at
    the same time: the others wait.
    """

    def __init__(
        self,
        *,
        isolated: bool = True,
        most_pixels: int = 80_000_000,
        seconds: int = 30,
        memory: int = _MEMORY,
        at_once: int = 2,
    ) -> None:
        self.isolated = isolated
        self.most_pixels = most_pixels
        self.seconds = seconds
        self.memory = memory
        self.at_once = at_once
        self._turns = (os.getpid(), BoundedSemaphore(at_once))

    @hookimpl
    def attachments_derivative_backend(self, detected_type: str) -> Derive | None:
        """Itself, for pictures of the kinds that it decodes."""
        return self if detected_type in pillow_worker.PLUGINS else None

    def make(self, source: BinaryIO, facts: Facts, recipe: Recipe, out: BinaryIO) -> str:
        """Draw the picture; `CannotDerive` when it is broken, or needs more than it may have."""
        if importlib.util.find_spec("PIL") is None:
            raise MissingExtra(what="Making derivatives of pictures", extra="images")
        if not facts.width or not facts.height or facts.width * facts.height > self.most_pixels:
            raise _cannot(recipe, "it has too many pixels, or does not say how many")
        job = self._job(facts, recipe)
        with self._turn():
            if self.isolated:
                self._draw_apart(source, out, job, recipe)
            else:
                _draw_here(source, out, job, recipe)
        return recipe.content_type

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for a turn: a hundred pictures that are asked for at once must not take all memory there is."""
        if self._turns[0] != os.getpid():  # what was being drawn at the fork is drawn in the parent
            self._turns = (os.getpid(), BoundedSemaphore(self.at_once))
        turns = self._turns[1]
        if not turns.acquire(timeout=self.seconds):
            raise Unavailable("Too many pictures are being drawn: try again later.")
        try:
            yield
        finally:
            turns.release()

    def _job(self, facts: Facts, recipe: Recipe) -> dict[str, Any]:
        return {
            "path": sys.path,
            "detected_type": facts.detected_type,
            "width": facts.width,
            "height": facts.height,
            "recipe": recipe.to_json(),
            "most_pixels": self.most_pixels,
            "seconds": self.seconds,
            "memory": self.memory,
            "largest": _LARGEST,
        }

    def _draw_apart(self, source: BinaryIO, out: BinaryIO, job: dict[str, Any], recipe: Recipe) -> None:
        command = [sys.executable, "-I", str(Path(pillow_worker.__file__)), json.dumps(job)]
        with tempfile.TemporaryFile() as said:
            try:
                done = subprocess.run(
                    command, stdin=source, stdout=out, stderr=said, timeout=self.seconds + 5, env={}, check=False
                )
            except subprocess.TimeoutExpired:
                raise _cannot(recipe, "it takes too long") from None
            said.seek(0)
            told = said.read(2000).decode("utf-8", "replace").strip()
        if done.returncode == pillow_worker.REFUSED:
            raise _cannot(recipe, told[-300:])
        if done.returncode < 0:  # ended by a signal: a limit of the system, or a decoder that broke
            raise _cannot(recipe, "it breaks the decoder, or takes more than it may")
        if done.returncode:
            raise RuntimeError(f"the process that draws pictures failed: {told}")


def _draw_here(source: BinaryIO, out: BinaryIO, job: dict[str, Any], recipe: Recipe) -> None:
    try:
        pillow_worker.draw(source, out, job)
    except Exception as error:
        refused = isinstance(error, pillow_worker.Refused)
        reason = str(error) if refused else f"it can't be decoded ({type(error).__name__})"
        raise _cannot(recipe, reason) from error


def _cannot(recipe: Recipe, reason: str) -> CannotDerive:
    return CannotDerive(version="the source", recipe=recipe.text, reason=reason)


_ours = Pillow()


@hookimpl
def attachments_derivative_backend(detected_type: str) -> Derive | None:
    """Pillow with its usual limits: the plug-in of every mall, asked after those of the host."""
    return _ours.attachments_derivative_backend(detected_type)
