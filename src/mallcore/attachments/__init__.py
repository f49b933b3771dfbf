"""Attachments: every version retrievable, every access on record."""

from mallcore.attachments.model import tables as tables

__all__: list[str] = []
