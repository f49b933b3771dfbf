"""What all contract kits share: promises can't be muted, excuses have reasons, and pytest is not needed."""

from __future__ import annotations

import traceback
from typing import Any
from unittest import SkipTest  # which pytest heeds, too

Finding = tuple[str, bool, str]
"""A promise, whether it is kept, and if not what happened."""


def bound(cls: type[Any], contract: type[Any]) -> Any:
    """Called when a contract is inherited: refuses what mutes a promise, and returns the fixture that marks excuses."""
    promises = {name: test for name, test in vars(contract).items() if name.startswith("test_")}
    if muted := {name for name, test in promises.items() if getattr(cls, name) is not test}:  # mixins too
        raise TypeError(f"{cls.__name__} replaces {sorted(muted)}; excuse a promise with a reason, never rewrite it")
    if unknown := set(cls.excused) - set(promises):
        raise TypeError(f"{cls.__name__} excuses unknown promises {sorted(unknown)}")
    return _excuses()


def _excuses() -> Any:
    """A fixture that marks what a contract excuses; it is made with the first subclass, where there is pytest."""
    import pytest

    @pytest.fixture(autouse=True)
    def excuse(self: Any, request: pytest.FixtureRequest) -> None:
        reason = self.excused.get(request.function.__name__)
        if reason is not None:
            request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))

    return excuse


def findings(contract: Any, promises: type[Any], *arguments: Any) -> list[Finding]:
    """Every promise of a contract, asked of an instance of it."""
    found = []
    for name in (name for name in vars(promises) if name.startswith("test_")):
        try:
            getattr(contract, name)(*arguments)
        except SkipTest as reason:
            found.append((name.removeprefix("test_"), True, f"skipped: {reason}"))
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1].line
            found.append((name.removeprefix("test_"), False, f"{type(error).__name__}: {str(error) or where}"))
        else:
            found.append((name.removeprefix("test_"), True, ""))
    return found
