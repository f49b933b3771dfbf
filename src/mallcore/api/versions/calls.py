"""What a change says of operations: that there was none, that there was one, or that it was reached elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mallcore.kernel.operations import Operation


@dataclass(frozen=True)
class Call:
    """One sentence of a change about an operation."""

    operation: str


@dataclass(frozen=True)
class NewCall(Call):
    """It did not exist."""


@dataclass(frozen=True)
class GoneCall(Call):
    """It existed: this is what older callers still reach."""

    known: Operation


@dataclass(frozen=True)
class MovedCall(Call):
    """It was reached by another method and path."""

    method: str
    path: str
    also: str = ""


@dataclass(frozen=True)
class OtherResult(Call):
    """It returned another type."""

    kind: Any
    convert_down: Callable[[Any], Any]
