"""What file systems of fsspec answer, in the mall's words, however their libraries spell it."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mallcore.errors import MallError, ObjectExists, ObjectMissing, StoreDenied, StoreFull, StoreUnavailable
from mallcore.kernel.objects import Stat


def stat_of(key: str, found: Mapping[str, Any]) -> Stat:
    """What ``info`` or ``find`` tell of a file."""
    etag = found.get("ETag") or found.get("etag")
    modified = found.get("LastModified") or found.get("last_modified") or found.get("mtime")
    if isinstance(modified, int | float):
        modified = datetime.fromtimestamp(modified, UTC)
    when = modified if isinstance(modified, datetime) and modified.tzinfo is not None else None
    version = found.get("VersionId") or found.get("version_id")
    return Stat(key, int(found["size"]), etag and str(etag).strip('"'), version, modified=when)


def told(error: BaseException, key: str, store: str) -> MallError | None:
    """The mall's word for an error of a file system, by its kind and the HTTP status in it or its causes."""
    if isinstance(error, MallError):
        return error
    status = status_of(error)
    reason = f"{type(error).__name__}, HTTP {status}" if status else type(error).__name__
    if status == 412 or isinstance(error, FileExistsError):
        return ObjectExists(key=key)
    if status in (401, 403) or isinstance(error, PermissionError):
        return StoreDenied(store=store, reason=reason)
    if status == 507 or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)):
        return StoreFull(store=store, reason=reason)
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return ObjectMissing(key=key)
    if isinstance(error, TypeError | AttributeError | NameError | LookupError):
        return None  # a bug, here or there: it must not look like weather
    return StoreUnavailable(store=store, reason=reason)


def status_of(error: BaseException | None) -> int | None:
    """The HTTP status in an error or its causes, however its library spells it."""
    for _ in range(6):
        if error is None:
            return None
        response = getattr(error, "response", None)
        if isinstance(response, Mapping):
            response = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        for found in (response, getattr(error, "status_code", None), getattr(error, "status", None)):
            if isinstance(found, int):
                return 412 if getattr(error, "error_code", None) == "BlobAlreadyExists" else found
        error = error.__cause__ or error.__context__
    return None
