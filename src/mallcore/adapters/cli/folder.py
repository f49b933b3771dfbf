"""The folder of a mall: its settings file, and secrets that must not be shown."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mallcore import Mall
from mallcore.errors import AlreadyExists, InvalidInput
from mallcore.settings import FILE, MallSettings

_EXAMPLES = {
    "secret": "a long random text",
    "old_secret": "the one before",
    "stores": {"mirror": "s3://bucket/prefix"},
}  # where the default says nothing
_SECRET = ("password", "passwd", "secret", "token", "key")
_HEAD = """\
# Settings of this mall. Arguments come before environment variables (MALLCORE_DATABASE and so on), those before this
# file. A relative SQLite path lies in this folder. This file may hold passwords: keep it to yourself.
"""


def prepared(folder: Path, option: str = "--mall") -> None:
    """Make the folder if it is not there; refuse one that holds a mall, or can't be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error, option) from None
    if (folder / FILE).exists():
        raise AlreadyExists(
            f"There is a mall in {str(folder.resolve())!r} already: its {FILE} is left as it is. "
            f"Choose another folder with {option}, or remove that file first.",
            what="mall",
            name=str(folder),
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unwritable(folder, PermissionError(13, "permission denied"), option)


def write_settings(folder: Path, given: dict[str, str | None]) -> Path:
    """Write the settings file, readable by its owner only; what is not given stands there as a comment."""
    path = folder / FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(settings_text(given))
    except FileExistsError:
        raise AlreadyExists(
            f"{str(path)!r} was made by somebody else just now: it is left as it is.", what="mall", name=str(folder)
        ) from None
    except OSError as error:
        raise _unwritable(folder, error) from None
    return path


def settings_text(given: dict[str, str | None]) -> str:
    """The text of a settings file: every setting with what it means.

    >>> "database = \\"sqlite:///mall.db\\"" in settings_text({"database": "sqlite:///mall.db"})
    True
    """
    parts = [_HEAD]
    for name, setting in MallSettings.model_fields.items():
        value = given.get(name)
        default = setting.get_default(call_default_factory=True)
        shown = default.get_secret_value() if hasattr(default, "get_secret_value") else default
        line = f"{name} = {_toml(value)}" if value is not None else f"# {name} = {_toml(_EXAMPLES.get(name, shown))}"
        parts.append(f"# {setting.description}\n{line}\n")
    return "\n".join(parts)


def _toml(value: Any) -> str:
    """A value as TOML, whose basic strings, numbers and booleans are written as in JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(one)}" for name, one in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def address(mall: Mall) -> str:
    """The database's URL, without what is secret in it."""
    url = mall.engine.url
    hidden = {key: "***" for key in url.query if any(word in key.lower() for word in _SECRET)}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def _unwritable(folder: Path, error: OSError, option: str = "--mall") -> InvalidInput:
    reason = error.strerror or str(error)
    return InvalidInput(
        f"The folder {str(folder)!r} can't be written ({reason}): choose another with {option}.", mall=str(folder)
    )
