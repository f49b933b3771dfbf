"""From a list of steps to one function: written as code for data that are whole, step by step for all others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mallcore.api.versions.ops import Code, Op

Convert = Callable[[Any], Any]


def program(ops: Sequence[Op], before: Sequence[str], after: Sequence[str]) -> Convert:
    """What does the steps, in order, to a dict that has the keys ``before``; its keys are then in the order ``after``.

    The function that is written reads every key it expects, once. Where the dict lacks one or has others, it gives up
    and the steps are run one by one: they say the same, and know what to do with what is not there.
    """
    careful = step_by_step(ops, after)
    code = Code(before)
    for op in ops:
        op.write(code)
    if not code.exprs.keys() <= set(after):
        return careful
    return _compiled(code, len(before), [key for key in after if key in code.exprs], careful)


def step_by_step(ops: Sequence[Op], after: Sequence[str]) -> Convert:
    """The same, without code of its own: the reference."""

    def convert(d: Any) -> Any:
        if not isinstance(d, dict):
            return d
        made = dict(d)
        for op in ops:
            op.run(made)
        ordered = {key: made.pop(key) for key in after if key in made}
        ordered.update(made)
        return ordered

    return convert


def _compiled(code: Code, keys: int, after: Sequence[str], careful: Convert) -> Convert:
    lines = [
        "def convert(d):",
        "    try:",
        f"        if len(d) == {keys}:",
        *(f"            {line}" for line in code.lines),
        f"            return {code.literal(after)}",
        "    except (KeyError, TypeError):",
        "        pass",
        "    return careful(d)",
    ]
    # Nothing a caller sends is in this text: keys are written by repr, values are bound by name.
    names: dict[str, Any] = {**code.names, "careful": careful}
    exec(compile("\n".join(lines), "<a change of the API>", "exec"), names)
    convert: Convert = names["convert"]
    return convert
