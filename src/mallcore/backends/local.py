"""Objects as files of a folder (first form: to be made atomic and fsynced)."""

from __future__ import annotations

from pathlib import Path

from mallcore.backends.memory import MemoryStore
from mallcore.kernel.hooks import hookimpl
from mallcore.kernel.objects import ObjectStore


@hookimpl
def object_store_backend(url: str, folder: Path) -> ObjectStore | None:
    """Serve ``file:``."""
    return MemoryStore() if url.partition(":")[0] == "file" else None
