"""Bad input: each kind gives its own typed error that says what to do, and leaves the state exactly as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from mallcore import Mall, Principal, audit, errors, structure
from mallcore.errors import DatabaseTooNew, MalformedTaxonomy, MallError
from mallcore.kernel.context import Context

ME = Principal.system("test")
Call = Callable[[Context], object]
BOOKS: dict[str, Any] = {"channel": "books"}


@pytest.fixture
def mall(database_url: str) -> Iterator[Mall]:
    """A mall with a small tree in `books`, a node of another channel, and a channel that was removed."""
    with Mall.open(database_url, migrate="always") as opened:
        with opened.begin(ME) as ctx:
            for slug in ("books", "toys", "gone"):
                structure.create_channel(ctx, slug=slug, name=slug.title())
            structure.create_section(ctx, channel="books", name="Fiction")
            structure.create_category(ctx, channel="books", name="Crime", parent="fiction", external_id="x1")
            structure.create_category(ctx, channel="books", name="Noir", parent="fiction/crime")
            structure.create_category(ctx, channel="books", name="Drama", parent="fiction")
            structure.create_category(ctx, channel="toys", name="Bears")
            structure.remove_channel(ctx, channel="gone")
        yield opened


def state(mall: Mall) -> tuple[Any, ...]:
    """All that could have changed: digests and heads, revisions, drafts, records."""
    with mall.begin(ME) as ctx:
        tables = ("unit", "channel", "revision", "node", "draft", "schedule", "snapshot", "idempotency", "audit_record")
        counts = [ctx.execute(text(f"SELECT count(*) FROM mall_{table}")).scalar_one() for table in tables]
        heads = ctx.execute(text("SELECT id, head, digest, removed_at FROM mall_channel ORDER BY id")).all()
        shown = structure.tree(ctx, channel="books").body
    return counts, heads, shown


def outcomes(mall: Mall, cases: dict[str, Call]) -> dict[str, str]:
    """The class of error each call gives; and after each, that nothing has changed."""
    before = state(mall)
    found = {}
    for name, call in cases.items():
        try:
            with mall.begin(ME) as ctx:
                call(ctx)
        except MallError as error:
            found[name] = type(error).__name__ if len(str(error)) < 3000 else "a message without end"
            json.dumps(error.details, default=str)
        else:
            found[name] = "nothing"
        assert (name, state(mall)) == (name, before)
    return found


def check(mall: Mall, expected: dict[str, Call], kind: type[MallError]) -> None:
    """Every call gives this kind of error, or a more precise one."""
    found = outcomes(mall, expected)
    names = {one.__name__ for one in vars(errors).values() if isinstance(one, type) and issubclass(one, kind)}
    assert {name: error for name, error in found.items() if error not in names} == {}


def create(**more: Any) -> Call:
    """Create a node so."""
    return lambda ctx: structure.create_node(ctx, **{**BOOKS, "name": "New", **more})


def update(**more: Any) -> Call:
    """Change a node so."""
    return lambda ctx: structure.update_node(ctx, **{**BOOKS, "node": "fiction/crime", **more})


def edit(*edits: dict[str, Any]) -> Call:
    """Do all this at once."""
    return lambda ctx: structure.edit(ctx, channel="books", edits=list(edits))  # type: ignore[arg-type]


def nested(levels: int, inner: Any = 1) -> dict[str, Any]:
    """A value that many levels deep."""
    value = inner
    for _ in range(levels):
        value = [value]
    return {"deep": value}


def test_loops(mall: Mall) -> None:
    """Nothing can be put below itself, not even by detours."""
    cases: dict[str, Call] = {
        "itself": lambda ctx: structure.move(ctx, **BOOKS, node="fiction/crime", parent="fiction/crime"),
        "its child": lambda ctx: structure.move(ctx, **BOOKS, node="fiction/crime", parent="fiction/crime/noir"),
        "its descendant": lambda ctx: structure.move(ctx, **BOOKS, node="fiction", parent="fiction/crime/noir"),
        "in two steps": edit(
            {"op": "move", "node": "fiction/drama", "parent": "fiction/crime"},
            {"op": "move", "node": "fiction/crime", "parent": "fiction/crime/drama"},
        ),
    }
    assert set(outcomes(mall, cases).values()) == {"WouldCreateLoop"}


def test_unknown_and_foreign_nodes(mall: Mall) -> None:
    """A node of another channel is as unknown as one that never was."""
    with mall.begin(ME) as ctx:
        bears = structure.tree(ctx, channel="toys").find("bears").id
        toys = structure.get_channel(ctx, channel="toys").id
    for reference in ("nowhere", "fiction/nowhere", "crime", "/", "fiction//crime", bears, toys, f"cat_{0:032x}", ""):
        cases: dict[str, Call] = {
            "parent": create(parent=reference),
            "rename": update(node=reference, name="New"),
            "new parent": lambda ctx: structure.move(ctx, **BOOKS, node="fiction/crime", parent=reference),  # noqa: B023
            "moved": lambda ctx: structure.move(ctx, **BOOKS, node=reference),  # noqa: B023
            "child": lambda ctx: structure.reorder(ctx, **BOOKS, children=[reference]),  # noqa: B023
            "rules": lambda ctx: structure.set_rules(ctx, **BOOKS, node=reference, rules=[]),  # noqa: B023
            "removed": lambda ctx: structure.remove(ctx, **BOOKS, node=reference),  # noqa: B023
            "restored": lambda ctx: structure.restore(ctx, **BOOKS, node=reference),  # noqa: B023
            "read": lambda ctx: structure.get_node(ctx, **BOOKS, node=reference),  # noqa: B023
            "last of many": edit({"op": "create", "name": "A"}, {"op": "create", "name": "B", "parent": reference}),
        }
        assert (reference, set(outcomes(mall, cases).values())) == (reference, {"UnknownNode"})


def test_siblings_with_one_slug(mall: Mall) -> None:
    """Siblings have different slugs, however they come together."""
    cases: dict[str, Call] = {
        "created": create(name="Crime", parent="fiction"),
        "named": create(slug="crime", parent="fiction"),
        "renamed": update(slug="drama"),
        "moved": edit(
            {"op": "create", "name": "Drama", "parent": "fiction/crime"},
            {"op": "move", "node": "fiction/crime/drama", "parent": "fiction"},
        ),
        "lifted": edit(
            {"op": "create", "name": "Drama", "parent": "fiction/crime"},
            {"op": "remove", "node": "fiction/crime", "policy": "reparent"},
        ),
        "both new": edit({"op": "create", "name": "Twin"}, {"op": "create", "name": "Twin"}),
    }
    assert set(outcomes(mall, cases).values()) == {"DuplicateSlug"}


def test_rules_of_the_tree(mall: Mall) -> None:
    """Sections stand at the top, an external id belongs to one node, and children are not lost."""
    assert outcomes(
        mall,
        {
            "section below": create(kind="section", parent="fiction"),
            "section moved down": edit(
                {"op": "create", "kind": "section", "name": "Travel"},
                {"op": "move", "node": "travel", "parent": "fiction"},
            ),
            "external id": create(external_id="x1"),
            "with children": lambda ctx: structure.remove(ctx, **BOOKS, node="fiction"),
        },
    ) == {
        "section below": "MisplacedSection",
        "section moved down": "MisplacedSection",
        "external id": "DuplicateExternalId",
        "with children": "HasChildren",
    }


NAMES = {
    "10 MB": "a" * 10_000_000,
    "201 characters": "a" * 201,
    "empty": "",
    "blank": " \t ",
    "NUL": "a\0b",
    "tab": "a\tb",
    "newline": "a\nb",
    "escape": "\x1b[31mred",
    "delete": "a\x7f",
    "lone surrogate": "a\ud800",
    "other half": "\udfff",
    "no character": "a\uffff",
    "private": "\ue000",
}


def test_names(mall: Mall) -> None:
    """A name is something people can read, of bounded length, wherever a name is given."""
    places: dict[str, Callable[[str], Call]] = {
        "create": lambda name: create(name=name),
        "rename": lambda name: update(name=name),
        "translate": lambda name: update(translations={"fr": name}),
        "draft": lambda name: lambda ctx: structure.open_draft(ctx, **BOOKS, name=name),
        "channel": lambda name: lambda ctx: structure.create_channel(ctx, slug="new", name=name),
        "settings": lambda name: lambda ctx: structure.update_channel(ctx, **BOOKS, name=name),
        "unit": lambda name: lambda ctx: structure.create_unit(ctx, slug="new", name=name),
        "many": lambda name: edit({"op": "create", "name": "Fine"}, {"op": "create", "name": name}),
    }
    check(
        mall, {f"{p}: {n}": make(name) for p, make in places.items() for n, name in NAMES.items()}, errors.InvalidInput
    )


def test_slugs_and_other_texts(mall: Mall) -> None:
    """Slugs, language tags, ids, messages and keys have a form, and are refused in any other."""
    slugs = ["", "Crime", "a/b", "-a", "a-", "a--b", "ä", "..", "../x", "a b", "a\0", "a\n", "a\ud800", "a" * 101]
    cases: dict[str, Call] = {f"slug {slug[:20]!r}": create(slug=slug) for slug in slugs}
    cases |= {f"channel {slug[:20]!r}": _channel(slug) for slug in slugs}
    cases |= {f"locale {one!r}": update(translations={one: "New"}) for one in ("", "x", "fr_", "f\0r", "a" * 36, "1")}
    cases |= {f"external id {one[:9]!r}": create(external_id=one) for one in ("", "a\0", "a\nb", "\ud800", "a" * 201)}
    cases |= {f"key {one[:9]!r}": create(idempotency_key=one) for one in ("", "a\0", "\ud800", "a" * 201)}
    cases |= {f"message {one[:9]!r}": create(message=one) for one in ("a\0", "\ud800", "a" * 1001)}
    cases |= {f"index {one}": create(index=one) for one in (-1, 10**9, 2**70)}
    cases |= {f"expected {one}": create(expected_revision=one) for one in (-1, "seven")}
    cases |= {"node of 8 kB": update(node="a" * 8000, name="New"), "channel of 8 kB": create(channel="a" * 8000)}
    check(mall, cases, errors.InvalidInput)


def _channel(slug: str) -> Call:
    return lambda ctx: structure.create_channel(ctx, slug=slug, name="New")


def test_attributes(mall: Mall) -> None:
    """Attributes are JSON of bounded depth and size; what no database keeps is refused."""
    values: dict[str, Any] = {
        "17 levels": nested(17),
        "50,000 levels": nested(50_000),
        "levels of objects": json.loads('{"a":' * 40 + "1" + "}" * 40),
        "201 of them": {f"a{number}": 1 for number in range(201)},
        "20,001 characters": {"a": "b" * 20_001},
        "10 MB": {"a": "b" * 10_000_000},
        "long lists": {"a": [0] * 100_000},
        "not a number": {"a": float("nan")},
        "infinite": {"a": [float("-inf")]},
        "huge": {"a": 2**63},
        "a set": {"a": {1}},
        "bytes": {"a": b"b"},
        "a time": {"a": datetime.now(UTC)},
        "NUL": {"a": "\0"},
        "NUL in a key": {"\0": 1},
        "a surrogate": {"a": ["\ud800"]},
        "a surrogate in a key": {"a": {"\ud800": 1}},
        "keys that are numbers": {"a": {1: 2}},
    }
    wide = {"17 levels", "201 of them"}  # settings are one attribute among others, so these are within its bounds
    cases = {f"create: {name}": create(attributes=value) for name, value in values.items()}
    cases |= {f"update: {name}": update(attributes=value) for name, value in values.items()}
    cases |= {f"with a key: {name}": create(attributes=value, idempotency_key="k") for name, value in values.items()}
    cases |= {f"settings: {name}": _settings(value) for name, value in values.items() if name not in wide}
    check(mall, cases, errors.InvalidInput)


def _settings(value: Any) -> Call:
    return lambda ctx: structure.update_channel(ctx, channel="books", settings=value)


def test_merchandising_rules(mall: Mall) -> None:
    """A rule that makes no sense is refused before it is kept."""
    one = {"field": "price", "op": "lt", "value": 10}
    rules: dict[str, Any] = {
        "unknown": {"kind": "juggle"},
        "nothing": {},
        "place 0": {"kind": "pin", "product": "p", "place": 0},
        "factor 0": {"kind": "boost", "where": [one], "factor": 0},
        "factor nan": {"kind": "boost", "where": [one], "factor": float("nan")},
        "operator": {"kind": "hide", "where": [{**one, "op": "resembles"}]},
        "a tower": {"kind": "hide", "where": [{**one, "value": nested(100)}]},
        "2,000 values": {"kind": "hide", "where": [{**one, "op": "in", "value": list(range(2000))}]},
        "backwards": {"kind": "sort", "by": "price", "starts": "2030-01-02T00:00:00Z", "ends": "2030-01-01T00:00:00Z"},
        "no zone": {"kind": "sort", "by": "price", "starts": "2030-01-02T00:00:00"},
        "NUL": {"kind": "pin", "product": "\0"},
        "a surrogate": {"kind": "sort", "by": "\ud800"},
        "unknown field": {"kind": "sort", "by": "price", "colour": "red"},
    }
    cases = {f"set: {name}": _rules([rule]) for name, rule in rules.items()}
    cases |= {f"create: {name}": create(rules=[rule]) for name, rule in rules.items()}
    cases["100,001 children"] = lambda ctx: structure.reorder(ctx, **BOOKS, children=["fiction"] * 100_001)
    cases["201 of them"] = _rules([{"kind": "pin", "product": f"p{number}"} for number in range(201)])
    check(mall, cases, errors.InvalidInput)


def _rules(rules: Any) -> Call:
    return lambda ctx: structure.set_rules(ctx, channel="books", rules=rules)


def test_towers(mall: Mall) -> None:
    """A tree has 64 levels and not one more, whether built at once or put together of two."""
    chain = [{"op": "create", "name": "d", "parent": "/".join(["d"] * level) or None} for level in range(65)]
    halves = [dict(one) for one in chain[:40]]
    halves += [{**one, "slug": "e", "parent": (one["parent"] or "").replace("d", "e") or None} for one in chain[:40]]
    halves += [{"op": "move", "node": "e", "parent": "/".join(["d"] * 40)}]
    cases: dict[str, Call] = {
        "at once": edit(*chain),
        "of two": edit(*halves),
        "imported": lambda ctx: structure.import_taxonomy(ctx, **BOOKS, data=_tower(70)),
        "imported as JSON": lambda ctx: structure.import_taxonomy(ctx, **BOOKS, data=b"[" * 100_000),
    }
    check(mall, cases, errors.InvalidInput)
    with mall.begin(ME) as ctx:
        edit(*chain[:64])(ctx)


def _tower(levels: int) -> bytes:
    lines = [f"{number} - {' > '.join(f'L{one}' for one in range(number + 1))}" for number in range(levels)]
    return "\n".join(lines).encode()


def test_edits_that_are_none(mall: Mall) -> None:
    """A batch is refused whole for any edit that is no edit, for none and for too many."""
    fine = {"op": "create", "name": "Fine"}
    cases = {
        "none": edit(),
        "unknown": edit(fine, {"op": "explode"}),
        "no op": edit(fine, {"name": "Fine"}),
        "no edit": edit(fine, 7),  # type: ignore[arg-type]
        "another field": edit({**fine, "colour": "red"}),
        "10,001": edit(*[{"op": "update", "node": "fiction", "name": str(n)} for n in range(10_001)]),
        "twice": edit({"op": "reorder", "node": "fiction", "children": ["fiction/crime", "fiction/crime"]}),
        "the channel": edit({"op": "update", "node": "", "name": "New"}),
    }
    found = outcomes(mall, cases)
    assert found.pop("the channel") in {"UnknownNode", "InvalidInput"}
    assert set(found.values()) <= {"InvalidInput", "LimitExceeded"}


def test_states_that_forbid_it(mall: Mall) -> None:
    """A removed channel is not edited, a head one did not expect is not overwritten, what is not there is not found."""
    gone: dict[str, Any] = {"channel": "gone"}
    cases: dict[str, tuple[Call, str]] = {
        "create in a removed channel": (create(**gone), "ChannelRemoved"),
        "import into it": (lambda ctx: structure.import_taxonomy(ctx, **gone, data=b"1 - A\n"), "ChannelRemoved"),
        "set its name": (lambda ctx: structure.update_channel(ctx, **gone, name="New"), "ChannelRemoved"),
        "draft in it": (lambda ctx: structure.open_draft(ctx, **gone, name="New"), "ChannelRemoved"),
        "roll it back": (lambda ctx: structure.rollback(ctx, **gone, to=0), "ChannelRemoved"),
        "remove it again": (lambda ctx: structure.remove_channel(ctx, **gone), "ChannelRemoved"),
        "read its head": (lambda ctx: structure.tree(ctx, **gone), "ChannelRemoved"),
        "a stale head": (create(expected_revision=1), "StaleRevision"),
        "a head to come": (create(expected_revision=99), "StaleRevision"),
        "a taken slug": (_channel("books"), "AlreadyExists"),
        "a taken slug of a removed one": (_channel("gone"), "AlreadyExists"),
        "a taken unit": (lambda ctx: structure.create_unit(ctx, slug="main", name="Main"), "AlreadyExists"),
        "a channel": (create(channel="nowhere"), "UnknownChannel"),
        "a channel of a unit": (create(channel="main:nowhere"), "UnknownChannel"),
        "a unit": (lambda ctx: structure.create_channel(ctx, slug="a", name="A", unit="x"), "UnknownUnit"),
        "a draft": (lambda ctx: structure.publish_draft(ctx, draft="drf_x"), "UnknownDraft"),
        "a schedule": (lambda ctx: structure.cancel_schedule(ctx, schedule="sch_x"), "UnknownSchedule"),
        "a revision": (lambda ctx: structure.rollback(ctx, **BOOKS, to=99), "UnknownRevision"),
        "a revision below none": (lambda ctx: structure.tree(ctx, **BOOKS, at=-1), "UnknownRevision"),
        "a huge revision": (lambda ctx: structure.tree(ctx, **BOOKS, at=2**70), "UnknownRevision"),
        "a revision to undo": (lambda ctx: structure.undo(ctx, **BOOKS, number=99), "UnknownRevision"),
        "a snapshot": (lambda ctx: structure.rollback(ctx, **BOOKS, to="nothing"), "UnknownSnapshot"),
        "a time before": (lambda ctx: structure.tree(ctx, **BOOKS, at="1999-01-01T00:00:00Z"), "UnknownRevision"),
        "a time without zone": (lambda ctx: structure.tree(ctx, **BOOKS, at="2999-01-01T00:00:00"), "InvalidReference"),
        "no time": (lambda ctx: structure.tree(ctx, **BOOKS, at="2999-99-99"), "InvalidReference"),
        "a revision not reached": (lambda ctx: structure.tree(ctx, **BOOKS, min_revision=99), "RevisionNotReached"),
    }
    found = outcomes(mall, {name: call for name, (call, _) in cases.items()})
    assert found == {name: kind for name, (_, kind) in cases.items()}


FILES: dict[str, tuple[bytes, int]] = {
    "no text": (b"\xff\xfe\xfd\x00\x01", 0),
    "empty": (b"", 0),
    "comments only": (b"# nothing\n", 0),
    "an id twice": (b"1 - Animals\n2 - Animals > Cats\n1 - Plants\n", 3),
    "a path twice": (b"1 - Animals\n2 - Animals\n", 2),
    "a missing ancestor": (b"1 - Animals\n2 - Plants > Trees\n", 2),
    "a control character": (b"1 - Animals\n2 - Pla\x07nts\n", 2),
    "a long name": (b"1 - Animals\n2 - " + b"a" * 300 + b"\n", 2),
    "JSON cut off": (b'{"nodes": [{"name": "Animals"', 0),
    "JSON of something else": (b'{"hello": "world"}', 0),
    "YAML that is none": (b"- id: a\n  full_name: A\n- id: [", 0),
}


@pytest.mark.parametrize("dry_run", [False, True])
def test_malformed_taxonomies(mall: Mall, dry_run: bool) -> None:
    """A file that can't be read is refused with lines and reasons, and nothing of it is imported."""
    before = state(mall)
    for name, (data, line) in FILES.items():
        for key in (None, "k"):
            with pytest.raises(MalformedTaxonomy) as refused, mall.begin(ME) as ctx:
                structure.import_taxonomy(ctx, channel="books", data=data, dry_run=dry_run, idempotency_key=key)
            assert refused.value.problems
            assert all(problem.reason for problem in refused.value.problems)
            if line:
                assert (name, line in [problem.line for problem in refused.value.problems]) == (name, True)
    with pytest.raises(MalformedTaxonomy), mall.begin(ME) as ctx:
        structure.import_taxonomy(ctx, channel="books", data=b"1 - Animals\n", format="xml")
    assert state(mall) == before


# --- databases


@contextmanager
def changed(url: str, statement: str) -> Iterator[None]:
    """Run a statement in the database, behind the mall's back."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
    yield


def test_a_database_from_a_newer_version(mall: Mall, database_url: str) -> None:
    """A database that needs newer code is refused on opening and on upgrading; one that does not is used."""
    before = state(mall)
    with changed(database_url, "UPDATE mall_schema SET version = 99, oldest = 99"):
        for migrate in ("always", "auto", "never"):
            with pytest.raises(DatabaseTooNew, match="upgrade the mallcore package") as refused:
                Mall.open(database_url, migrate=migrate)
            assert refused.value.found == 99
        with pytest.raises(DatabaseTooNew):
            mall.upgrade()
    with changed(database_url, "UPDATE mall_schema SET oldest = 1"), Mall.open(database_url, migrate="always") as older:
        assert state(older) == before


SCRIPT = """
import os, sys
from mallcore import Mall, Principal, structure
from mallcore.errors import MallError
me = Principal.system("test")
with Mall.open("sqlite://") as warm, warm.begin(me) as ctx:  # imports what is imported late
    structure.create_channel(ctx, slug="books", name="Books")
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    with Mall.open(sys.argv[1], busy_seconds=1) as mall:
        with mall.begin(me) as ctx:
            print("read", structure.get_channel(ctx, channel="books").revision)
        with mall.begin(me) as ctx:
            structure.create_category(ctx, channel="books", name="Lost")
    print("written")
except MallError as error:
    print(error.code)
    print(error, file=sys.stderr)
"""


def read_only(folder: Path, file: int, directory: int) -> str:
    """What becomes of a process without rights that reads and writes this mall; afterwards all is as it was."""
    path = folder / "mall.db"
    if path.exists():
        path.chmod(file)
    folder.chmod(directory)
    try:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT, f"sqlite:///{path}"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
    finally:
        folder.chmod(0o755)
    assert "Traceback" not in done.stderr
    return done.stdout.split()[-1]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others may look into, unlike those pytest makes."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize(("file", "directory"), [(0o444, 0o777), (0o444, 0o555), (0o666, 0o555)])
def test_a_read_only_disk(folder: Path, file: int, directory: int) -> None:
    """A file or folder that can't be written gives `DatabaseReadOnly`, and the mall is as before."""
    url = f"sqlite:///{folder / 'mall.db'}"
    with Mall.open(url) as mall:
        with mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        before = state(mall)
    assert read_only(folder, file, directory) == "database-read-only"
    (folder / "mall.db").chmod(0o666)
    with Mall.open(url) as mall:
        assert state(mall) == before


def test_a_new_mall_on_a_read_only_disk(folder: Path) -> None:
    """Where no file can be made there is no mall, and nothing is left behind."""
    assert read_only(folder, 0, 0o555) == "database-read-only"
    assert list(folder.iterdir()) == []


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """Something else of that name is refused and not touched."""
    (tmp_path / "mall.db").write_bytes(b"These are my notes. " * 100)
    with pytest.raises(MallError):
        Mall.open(f"sqlite:///{tmp_path / 'mall.db'}")
    assert (tmp_path / "mall.db").read_bytes() == b"These are my notes. " * 100


def test_refusals_leave_no_record_of_a_change(mall: Mall) -> None:
    """What was refused for its content is no event: the trail tells of what was done."""
    with mall.begin(ME) as ctx:
        before = audit.list_records(ctx).items
    check(mall, {"a": create(name="")}, errors.InvalidInput)
    with mall.begin(ME) as ctx:
        assert audit.list_records(ctx).items == before
