"""Files of one path a line: Shopify's ``categories.txt``, Google's ``id - A > B``, and plain ``A > B``.

Real files are tidy, so whole columns are looked over at once, and single cells only where something is odd.
"""

from __future__ import annotations

from typing import NamedTuple

from mallcore.structure.rules.formats.checking import Check, quoted
from mallcore.structure.rules.formats.decoding import content_lines
from mallcore.structure.rules.formats.entries import SEPARATOR

_GID = "gid://shopify/TaxonomyCategory/"


class Columns(NamedTuple):
    """A file of paths, column by column; the ids are "" where the format has none."""

    lines: list[int]
    ids: list[str]
    paths: list[str]


def read_numbered(text: str, check: Check, divider: str) -> Columns:
    """The categories of a text with an id, a divider and a path on each line.

    >>> from mallcore.structure.rules.formats.entries import Limits
    >>> read_numbered("gid://shopify/TaxonomyCategory/ap-1  : Animals > Live", Check(Limits()), " : ")
    Columns(lines=[1], ids=['ap-1'], paths=['Animals > Live'])
    """
    found = Columns([], [], [])
    for line, content in content_lines(text, check):
        key, divides, path = content.partition(divider)
        if divides:
            found.lines.append(line)
            found.ids.append(key)
            found.paths.append(path)
        else:
            check.add(line, f"{quoted(content)} is not of the form 'id{divider}A > B'")
    return tidied(found, check)


def read_plain(text: str, check: Check) -> Columns:
    """The categories of a text with a path on each line.

    >>> from mallcore.structure.rules.formats.entries import Limits
    >>> read_plain("Home\\nHome > Garden", Check(Limits())).paths
    ['Home', 'Home > Garden']
    """
    contents = dict(content_lines(text, check))
    lines = list(contents)
    paths = [content.strip(" ") for content in contents.values()]
    return Columns(lines, [""] * len(lines), _tidy_paths(paths, lines, check))


def tidied(columns: Columns, check: Check) -> Columns:
    """The columns with ids and paths as they are meant; problems are noted, and leave a stand-in such as ``?12``."""
    keys = [key.strip(" ").removeprefix(_GID) for key in columns.ids]
    paths = [path.strip(" ") for path in columns.paths]
    return Columns(columns.lines, _tidy_ids(keys, columns.lines, check), _tidy_paths(paths, columns.lines, check))


def _tidy_ids(keys: list[str], lines: list[int], check: Check) -> list[str]:
    joined = "".join(keys)
    if all(keys) and joined.isprintable() and " " not in joined and max(map(len, keys), default=0) <= check.limits.id:
        return keys
    return [_tidy_id(key, line, check) for key, line in zip(keys, lines, strict=True)]


def _tidy_id(key: str, line: int, check: Check) -> str:
    if any(map(str.isspace, key)):
        check.add(line, f"the id {quoted(key)} holds a space")
    return check.id(line, key) or f"?{line}"


def _tidy_paths(paths: list[str], lines: list[int], check: Check) -> list[str]:
    joined = "".join(paths)
    every_sign_separates = joined.count(">") == joined.count(SEPARATOR)
    if every_sign_separates and all(paths) and "  " not in joined and joined.isprintable():
        return paths
    return [tidy_path(path, line, check) for path, line in zip(paths, lines, strict=True)]


def tidy_path(text: str, line: int, check: Check) -> str:
    """The path without needless space.

    >>> from mallcore.structure.rules.formats.entries import Limits
    >>> tidy_path("  Home  > Garden ", 1, Check(Limits()))
    'Home > Garden'
    """
    longest = check.limits.depth * (check.limits.name + len(SEPARATOR))
    if len(text) > longest:
        check.add(line, f"the path {quoted(text)} has {len(text):,} characters, and the limit is {longest:,}")
        return f"?{line}"
    names = split_path(text)
    if not check.characters(line, text, "the path"):
        return f"?{line}"
    if not all(names):
        check.add(line, f"there is an empty name in the path {quoted(text.strip())}")
        return f"?{line}"
    return SEPARATOR.join(names)


def split_path(path: str) -> list[str]:
    """The names in a path, trimmed; "" for each that is missing or lost among its separators.

    >>> split_path("Cables > USB>HDMI > > Short")
    ['Cables', 'USB>HDMI', '']
    """
    names = [name.strip() for name in path.strip().split(SEPARATOR)]
    return ["" if name == ">" or name.startswith("> ") or name.endswith(" >") else name for name in names]
