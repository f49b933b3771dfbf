"""What contract kits share: promises that can't be muted, excuses that are shown, and a report without pytest."""

from __future__ import annotations

import traceback
from collections.abc import Collection
from typing import Any
from unittest import SkipTest  # which pytest heeds, too

Report = list[tuple[str, bool, str]]
"""Of each promise: its name, whether it is kept, and what there is to say of it."""


def promises(contract: type) -> dict[str, Any]:
    """The promises of a kit by name, those of its own bases included."""
    return {name: getattr(contract, name) for name in dir(contract) if name.startswith("test_")}


def refuse_muting(contract: type, cls: Any) -> None:
    """Raise `TypeError` when a class of a kit replaces a promise, or excuses one that was never made."""
    made = promises(contract)
    if muted := {name for name, test in made.items() if getattr(cls, name) is not test}:  # mixins too
        raise TypeError(f"{cls.__name__} replaces {sorted(muted)}; excuse a promise with a reason, never rewrite it")
    if unknown := set(cls.excused) - set(made):
        raise TypeError(f"{cls.__name__} excuses unknown promises {sorted(unknown)}")


def excuses() -> Any:
    """A fixture that marks what a contract excuses; it is made with the first subclass, where there is pytest."""
    import pytest

    @pytest.fixture(autouse=True)
    def excuse(self: Any, request: pytest.FixtureRequest) -> None:
        reason = self.excused.get(request.function.__name__)
        if reason is not None:
            request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))

    return excuse


def kept(contract: Any, subject: object, without: Collection[str] = ()) -> Report:
    """Ask every promise of the contract for the subject, without pytest."""
    found = []
    for name in (name for name in promises(type(contract)) if name not in without):
        said = ""
        try:
            getattr(contract, name)(subject)
        except SkipTest as reason:
            said = f"skipped: {reason}"
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1].line
            found.append((name.removeprefix("test_"), False, f"{type(error).__name__}: {str(error) or where}"))
            continue
        found.append((name.removeprefix("test_"), True, said))
    return found
