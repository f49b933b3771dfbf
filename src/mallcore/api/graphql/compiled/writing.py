"""Writes the source of compiled functions: one for each object type and each list of a selection.

A function checks the exact type of a value inline, which is what makes it fast, and calls a slower one for anything
else. Texts of a document or a schema enter the source only by ``repr``, or as an attribute that is a plain identifier.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from keyword import iskeyword
from threading import Lock
from typing import Any

from graphql import (
    FieldNode,
    GraphQLEnumType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLUnionType,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_object_type,
    specified_scalar_types,
)

from mallcore.api.graphql.compiled import values
from mallcore.api.graphql.compiled.selections import Collector, Unplannable, source_of
from mallcore.api.graphql.compiled.values import MISSING, Doubt, Info

MOST = 1000  # names in a plan, some four for each object: a selection that needs more is left to the executor
INLINE = {  # the values of the built-in scalars that are given as they are
    "String": "type({first}) is str",
    "ID": "type({first}) is str",
    "Int": "type({first}) is int and -2147483648 <= {again} <= 2147483647",
    "Float": "type({first}) is float and {again} - {again} == 0.0",
    "Boolean": "{first} is True or {again} is False",
}
READ = "<read>"  # stands where a value is read; no other part of an expression holds such signs
Function = Callable[[Any], Any]
Key = tuple[str, tuple[int, ...]]


class Writer:
    """Compiles selections; what it made stays callable as long as its functions are."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._objects: dict[Key, str] = {}
        self._leaves: dict[str, str] = {}
        self._sources: list[str] = []
        self._lock = Lock()
        self._plain: set[type] = {str, int, float, bool}
        self._names: dict[str, Any] = {
            "MISSING": MISSING, "sequence": values.sequence, "strict": values.strict,
            "reader": values.reader, "objects": set(), "info": Info(collector.schema),
        }  # fmt: skip

    def function(self, kind: GraphQLOutputType, nodes: Sequence[FieldNode]) -> Function:
        """Completes one value of this type; `Unplannable` if that can't be compiled."""
        expression = self._value(kind, nodes, "v", "v")
        name = self._fresh("f")
        self._sources.append(f"def {name}(v):\n return {expression}")
        return self._compiled(name)

    def _compiled(self, name: str) -> Function:
        """Compile what was written: all at once, and nothing before it is known that all of it can be."""
        source, self._sources = "\n".join(self._sources), []
        self._run(source)
        return self._names[name]  # type: ignore[no-any-return]

    def _run(self, source: str) -> None:
        exec(compile(source, "<graphql>", "exec"), self._names)

    def _later(self, name: str, source: Callable[[], str]) -> None:
        """A function that is compiled when it is first called: most answers never need it."""

        def first(value: Any) -> Any:
            self._run(source())
            return self._names[name](value)

        self._names[name] = first

    def _fresh(self, prefix: str, value: Any = None) -> str:
        if len(self._names) > MOST:
            raise Unplannable
        name = f"{prefix}{len(self._names)}"
        self._names[name] = value
        return name

    def _value(self, kind: GraphQLOutputType, nodes: Sequence[FieldNode], first: str, again: str) -> str:
        """An expression that completes what ``first`` reads; ``again`` is its name once it was read."""
        if isinstance(kind, GraphQLNonNull):
            return self._present(kind.of_type, nodes, first, again, "{call}({again})")
        return self._present(kind, nodes, first, again, "None if {again} is None else {call}({again})")

    def _present(self, kind: Any, nodes: Sequence[FieldNode], first: str, again: str, otherwise: str) -> str:
        if is_leaf_type(kind):
            call, check, result = self._leaf(kind)
        else:
            call, check, result = self._composite(kind, nodes), "", ""
        if not check:  # what is read first stands first
            before, _, after = otherwise.partition("{again}")
            return before.format(call=call) + first + after.format(call=call, again=again)
        slow = otherwise.format(call=call, again=again)
        return f"{result.format(again=again)} if {check.format(first=first, again=again)} else {slow}"

    def _composite(self, kind: Any, nodes: Sequence[FieldNode]) -> str:
        if isinstance(kind, GraphQLList):
            return self._list(kind, nodes)
        if is_abstract_type(kind):
            return self._abstract(kind, nodes)
        return self._object(kind, nodes)

    def _leaf(self, kind: Any) -> tuple[str, str, str]:
        """The function for all its values, and where some go without: the check of them, and what they become."""
        name = self._leaves.get(kind.name)
        if name is None:
            name = self._leaves[kind.name] = self._fresh("leaf", values.leaf(kind.coerce_output_value, self._plain))
        builtin = specified_scalar_types.get(kind.name)
        if builtin is not None and kind is builtin:
            return name, INLINE[builtin.name], "{again}"
        table = _table(kind) if isinstance(kind, GraphQLEnumType) else None
        if table:
            self._names[f"all_{name}"], self._names[f"kind_{name}"] = table, type(next(iter(table)))
            return name, f"type({{first}}) is kind_{name} and {{again}} in all_{name}", f"all_{name}[{{again}}]"
        return name, "", ""

    def _list(self, kind: GraphQLList[Any], nodes: Sequence[FieldNode]) -> str:
        item = self._value(kind.of_type, nodes, "i", "i")
        name = self._fresh("list")
        self._sources.append(f"def {name}(v):\n return [{item} for i in (v if type(v) is list else sequence(v))]")
        return name

    def _abstract(self, kind: GraphQLInterfaceType | GraphQLUnionType, nodes: Sequence[FieldNode]) -> str:
        name = self._fresh("abstract")
        self._names[f"branches_{name}"] = _Branches(self, kind, nodes)
        self._names[f"name_{name}"] = values.typed_by(kind, self._names["info"])
        self._sources.append(f"def {name}(v):\n return branches_{name}[name_{name}(v)](v)")
        if kind.resolve_type is None:  # a dict that says its type needs no search
            quick = f"if type(v) is dict and type(n := v.get('__typename')) is str:\n  return branches_{name}[n](v)"
            self._sources.append(f"def {name}(v):\n {quick}\n return branches_{name}[name_{name}(v)](v)")
        return name

    def branch(self, abstract: Any, name: str, nodes: Sequence[FieldNode]) -> Function:
        """The function for values of one object type among an abstract type's."""
        kind = self._collector.schema.get_type(name)
        if not is_object_type(kind) or not self._collector.schema.is_sub_type(abstract, kind):
            raise Doubt
        with self._lock:  # requests in several threads may meet new types at once
            known = dict(self._objects)
            try:
                return self._compiled(self._object(kind, nodes))
            except Unplannable:
                self._objects, self._sources = known, []
                raise

    def _object(self, kind: GraphQLObjectType, nodes: Sequence[FieldNode]) -> str:
        key = kind.name, tuple(map(id, nodes))
        name = self._objects.get(key)
        if name is None:
            name = self._objects[key] = self._fresh("object")
            if kind.is_type_of is not None:
                self._names[f"is_{name}"] = values.checked(kind.is_type_of, self._names["info"])
            self._bodies(name, kind, self._collector.fields(kind, nodes))
        return name

    def _bodies(self, name: str, kind: GraphQLObjectType, fields: dict[str, list[FieldNode]]) -> None:
        """The function of an object type: dicts are read at once, other objects and what is amiss by two more."""
        parts = [(key, *self._field(kind, group)) for key, group in fields.items()]
        guard = f" is_{name}(v)\n" if kind.is_type_of else ""
        self._sources.append(
            f"def {name}(v):\n{guard} if type(v) is dict:\n  try:\n   return {_display(parts, _key)}\n"
            f"  except KeyError:\n   return slow_{name}(v.get)\n return other_{name}(v)"
        )
        self._later(f"slow_{name}", lambda: f"def slow_{name}(read):\n return {_display(parts, _careful)}")
        self._later(
            f"other_{name}",
            lambda: (
                f"def other_{name}(v):\n if type(v) in objects:\n  try:\n   return {_display(parts, _attribute)}\n"
                f"  except AttributeError:\n   pass\n return slow_{name}(reader(v, objects))"
            ),
        )

    def _field(self, kind: GraphQLObjectType, group: list[FieldNode]) -> tuple[str, str, bool]:
        """An expression that completes a field, with a place where it is read; where it stands; and how strictly."""
        name = group[0].name.value
        if name == "__typename":
            return repr(kind.name), "", False
        field = self._collector.schema.get_field(kind, name)
        source = source_of(name, field) if field is not None else None
        if field is None or source is None:
            raise Unplannable
        return self._value(field.type, group, READ, "a"), *source


def _display(parts: list[tuple[str, str, str, bool]], reading: Callable[[str, bool], str]) -> str:
    shown = (
        f"{key!r}: " + text.replace(READ, f"(a := {reading(source, strict)})") for key, text, source, strict in parts
    )
    return "{" + ", ".join(shown) + "}"


def _key(name: str, strict: bool) -> str:
    return f"v[{name!r}]"


def _attribute(name: str, strict: bool) -> str:
    plain = name.isascii() and name.isidentifier() and not iskeyword(name)
    return f"v.{name}" if plain else f"getattr(v, {name!r})"


def _careful(name: str, strict: bool) -> str:
    return f"strict(read({name!r}, MISSING))" if strict else f"read({name!r}, None)"


def _table(kind: GraphQLEnumType) -> dict[Any, str] | None:
    """The names of an enum by its values, if all have one exact type, which isn't called when it is read."""
    table: dict[Any, str] = {}
    for name, enum_value in kind.values.items():
        value = name if enum_value.value is None else enum_value.value
        if not isinstance(value, Hashable) or callable(value):
            return None
        table.setdefault(value, name)
    return table if len(set(map(type, table))) == 1 else None


class _Branches(dict[str, Function]):
    """The functions for the object types of an abstract one, made when a value first has that type."""

    def __init__(self, writer: Writer, kind: Any, nodes: Sequence[FieldNode]) -> None:
        super().__init__()
        self._make: Callable[[str], Function] = lambda name: writer.branch(kind, name, nodes)

    def __missing__(self, name: str) -> Function:
        try:
            made = self._make(name)
        except Unplannable:
            made = _refuse
        self[name] = made
        return made


def _refuse(value: Any) -> Any:
    raise Doubt


def is_worth_it(kind: GraphQLOutputType) -> bool:
    """Whether there is anything to compile: a bare leaf is completed as fast by the executor."""
    inner = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
    return isinstance(inner, GraphQLList) or not is_leaf_type(get_named_type(inner))
