"""A reach as a condition in SQL. Every list that shows each caller only what it may see is narrowed by this."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, or_, true

from mallcore.kernel.ports import Reach


def seen(reach: Reach, unit: Any, channel: Any = None, *also: ColumnElement[bool]) -> ColumnElement[bool]:
    """Condition: a row lies within reach, by the columns of its unit and (if it has one) its channel.

    ``also`` are further conditions that let a row in: those of the subtrees, say, that are within reach.
    """
    if reach.everywhere:
        return true()
    found = [unit.in_(reach.units), *also]
    if channel is not None:
        found.append(channel.in_(reach.channels))
    return or_(*found) if reach.within is None else and_(or_(*found), seen(reach.within, unit, channel))
