"""Pure rules of signing in: where a browser may be sent afterwards, what is a name, how long a session is good."""

from __future__ import annotations

import re
from datetime import datetime

from mallcore.errors import InvalidInput, InvalidSettings

PREFIX = "ms_"
_TOKEN = re.compile(r"ms_([1-9][0-9]{0,8})_[A-Za-z0-9_-]{43}")
_PROVIDER = re.compile(r"[a-z][a-z0-9-]{0,39}")
_LONGEST_PATH = 500  # it is kept in a cookie, and there may be four
_SHORTEST_IDLE = 300
LONGEST_LIFE = 400 * 24 * 3600


def key_number(token: str) -> int | None:
    """The number of the key under which a session's token is known; nothing, if it is no such token.

    >>> key_number("ms_2_" + "x" * 43), key_number("ms_2_short"), key_number("mk_live_x")
    (2, None, None)
    """
    found = _TOKEN.fullmatch(token)
    return None if found is None else int(found[1])


def local_path(path: str) -> str:
    r"""The path, if it leads to this very site; what a browser could take for another site's address is refused.

    >>> local_path("/account?tab=2")
    '/account?tab=2'
    >>> local_path("//evil.example")
    Traceback (most recent call last):
    ...
    mallcore.errors.InvalidInput: return_to: write a path of this site, which begins with a single /.
    """
    # Browsers read \ as /, and drop tabs and line breaks before they look at what is left.
    plain = path.isascii() and all(32 < ord(one) < 127 and one != "\\" for one in path)
    if not plain or not path.startswith("/") or path.startswith("//") or len(path) > _LONGEST_PATH:
        raise InvalidInput(field="return_to", reason="write a path of this site, which begins with a single /")
    return path


def checked_provider(name: str) -> str:
    """A provider's name, which is part of a path."""
    if not _PROVIDER.fullmatch(name):
        raise InvalidSettings(setting="logins", reason=f"{name[:60]!r} is no name of a provider: a-z, 0-9 and -")
    return name


def checked_lives(idle_seconds: int, life_seconds: int) -> None:
    """Refuse lives of sessions that make no sense: those seen lately are noted once a minute only."""
    if not _SHORTEST_IDLE <= idle_seconds <= life_seconds <= LONGEST_LIFE:
        reason = f"idle_seconds is at least {_SHORTEST_IDLE}, and no more than life_seconds, which has {LONGEST_LIFE}"
        raise InvalidSettings(setting="logins", reason=reason)


def why_over(
    now: datetime, idle_until: datetime, expires_at: datetime, ended: bool, epochs: tuple[int, int]
) -> str | None:
    """Why a session is good no more; nothing, if it is good. ``epochs`` are its own and its principal's."""
    if ended or epochs[0] != epochs[1]:
        return "ended"
    if now >= expires_at:
        return "expired"
    return "idle" if now >= idle_until else None
