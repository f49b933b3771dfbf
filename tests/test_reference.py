"""Tables in the reference say what the code says; `python -m tests.test_reference` makes those of settings,
permissions, roles and events anew."""

import doctest
import importlib
import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from sqlalchemy import inspect as inspected

from mallcore import Context, Mall, Principal, access, attachments, audit, structure, webhooks
from mallcore.access.rules import BUILT_IN
from mallcore.attachments.model import uploads
from mallcore.attachments.rules import names, tokens, uploading
from mallcore.kernel import events, paging
from mallcore.settings import MallSettings
from mallcore.structure.model import inputs
from mallcore.structure.operations import drafts
from mallcore.structure.rules import apply, formats, nodes
from mallcore.structure.rules.formats.entries import Limits
from mallcore.structure.rules.formats.tables import COLUMNS
from mallcore.webhooks.rules import retries

REPOSITORY = Path(__file__).resolve().parent.parent
REFERENCE = REPOSITORY / "docs" / "reference"
WIRING = {
    "CREDENTIALS",
    "LONGEST_TOKEN",
    "PING",
    "SLOTS",
    "TOKENS",
    "TOPIC",
    "Addresses",
    "Beginning",
    "Begun",
    "Code",
    "Credentials",
    "DeniedTokens",
    "Epochs",
    "Interest",
    "KnownCredentials",
    "Lives",
    "Moments",
    "NewUser",
    "OAuthClient",
    "OAuthStore",
    "Outbox",
    "Owners",
    "Pins",
    "Places",
    "Refresh",
    "Returned",
    "RecordedRefusals",
    "SessionTokens",
    "SignedIn",
    "SignedInBy",
    "SignedOut",
    "Slots",
    "Trees",
    "checked_issuer",
    "covers_scope",
    "forget_old_links",
    "forget_old_sessions",
    "heard",
    "is_challenge",
    "is_sure_of_its_redirects",
    "keep_stores",
    "local_path",
    "look",
    "look_at_credentials",
    "narrowed_scopes",
    "proves",
    "redirects_to",
    "scopes_within",
}  # in __all__ for mallcore.mall alone
CODE = re.compile(r"`([^`]+)`")
PUBLIC = {
    f"{package.__name__.partition('.')[2]}.{name}": getattr(package, name)
    for package in (structure, attachments, access, audit, webhooks)
    for name in package.__all__
}
SHOWING = {name: one for name, one in PUBLIC.items() if inspect.isfunction(one) and ">>>" in (one.__doc__ or "")}
MODULES = sorted(
    ".".join(path.relative_to(REPOSITORY / "src").with_suffix("").parts)
    for path in (REPOSITORY / "src" / "mallcore").rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8") and "operations" not in path.relative_to(REPOSITORY).parts[3:-1]
)


def table(page: str, heading: str, folder: Path = REFERENCE) -> list[list[str]]:
    """The rows of the table whose first column has this heading."""
    lines = (folder / page).read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def codes(cell: str) -> list[str]:
    return CODE.findall(cell)


def test_every_setting_is_described() -> None:
    """The table of settings has each with its variable, default and meaning."""
    assert table("settings.md", "setting") == settings()


def settings() -> list[list[str]]:
    """The rows of the table of settings."""
    rows = []
    for name, field in MallSettings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = default.get_secret_value() if hasattr(default, "get_secret_value") else default
        rows.append([f"`{name}`", f"`MALLCORE_{name.upper()}`", f"`{shown}`", field.description or ""])
    return rows


def test_every_permission_is_listed_with_its_operations() -> None:
    """The table of permissions is the catalogue's."""
    assert table("permissions.md", "permission") == permissions()


def permissions() -> list[list[str]]:
    """The rows of the table of permissions."""
    asked = defaultdict(list)
    with Mall.open("sqlite://") as mall:
        for name, one in mall.catalogue.items():
            if one.permission is not None:
                asked[one.permission].append(name.partition(".")[2])
    return [[f"`{one}`", listed(sorted(asked[one]))] for one in sorted(asked)]


def listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def test_every_built_in_role_is_listed() -> None:
    """The table of roles is the one in the rules."""
    assert table("permissions.md", "role") == roles()


def roles() -> list[list[str]]:
    """The rows of the table of roles."""
    return [[f"`{name}`", listed(held)] for name, held in BUILT_IN.items()]


def test_every_event_is_listed() -> None:
    """The table of events has each with its name, class and docstring."""
    assert table("events.md", "name") == happening()


def happening() -> list[list[str]]:
    """The rows of the table of events."""
    kinds: dict[str, Any] = {
        name: kind for name, kind in PUBLIC.items() if isinstance(kind, type) and issubclass(kind, events.Event)
    } | {"AccessDenied": events.AccessDenied}
    return [[f"`{kind.name}`", f"`{name}`", kind.__doc__.replace("``", "`")] for name, kind in kinds.items()]


def test_every_message_is_listed() -> None:
    """The tables of webhooks have each event with its shape and permission, each shape, and each pause."""
    assert table("webhook-events.md", "event") == told()
    assert table("webhook-events.md", "shape") == shapes()
    assert table("webhook-events.md", "after attempt") == pauses()


def told() -> list[list[str]]:
    """The rows of the table of events that webhooks send."""
    found = {one for one in PUBLIC.values() if isinstance(one, type) and issubclass(one, events.Event)}
    kinds = sorted({*found, events.AccessDenied}, key=lambda one: one.name)
    rows = [
        [f"`{one.name}`", f"`{webhooks.shape_of(one).__name__}`", f"`{webhooks.permission_to_read(one.name)}`"]
        for one in kinds
    ]
    return [*rows, [f"`{webhooks.PING}`", "`PingData`", "none: it goes to the one who asked for it"]]


def shapes() -> list[list[str]]:
    """The rows of the table of what messages tell."""
    data = webhooks.EventData
    more = (webhooks.RevisionData, webhooks.AttachmentData, webhooks.DenialData, webhooks.PingData)
    rows = [[f"`{data.__name__}`", listed(data.model_fields)]]
    for one in more:
        own = [name for name in one.model_fields if name not in data.model_fields]
        rows.append([f"`{one.__name__}`", f"the same, and {listed(own)}" if own else "the same"])
    return rows


def pauses() -> list[list[str]]:
    """The rows of the table of pauses."""
    shown = [timedelta(seconds=one) for one in retries.DELAYS]
    return [[str(number), str(one)] for number, one in enumerate(shown, 1)]


def test_every_format_is_listed() -> None:
    """The table of formats says what is read and written, and the one of columns what a CSV file has."""
    rows = table("formats.md", "format")
    assert tuple(codes(row[0])[0] for row in rows if row[1] == "yes") == formats.FORMATS
    assert {codes(row[0])[0] for row in rows if row[2] == "yes"} == set(formats.WRITTEN)
    assert tuple(codes(row[0])[0] for row in table("formats.md", "column"))[: len(COLUMNS)] == COLUMNS


def test_the_limits_of_files_are_the_ones_that_hold() -> None:
    """The table of limits is the one in the code."""
    limits = Limits()
    shown = dict(table("formats.md", "what"))
    assert shown == {
        "a file": f"{limits.bytes >> 20} MiB",
        "categories": f"{limits.entries:,}",
        "levels": str(limits.depth),
        "a name, an id": f"{limits.name} characters",
        "a slug": f"{limits.slug} characters",
    }
    assert limits.name == limits.id


def test_the_limits_of_the_structure_are_the_ones_that_hold() -> None:
    """The table of limits names each constant's value."""
    rows = table("limits.md", "what", REPOSITORY / "docs" / "explanation")
    assert [int(row[1].replace(",", "")) for row in rows] == [
        nodes.MAX_DEPTH,
        nodes.MAX_NAME,
        nodes.MAX_SLUG,
        apply.MAX_EXTERNAL_ID,
        nodes.MAX_LOCALES,
        nodes.MAX_ATTRIBUTES,
        nodes.MAX_ATTRIBUTE_NESTING,
        nodes.MAX_TEXT,
        nodes.MAX_RULES,
        longest(inputs.Edits),
        drafts._MAX_EDITS,
        longest(paging.Limit),
    ]


def test_the_limits_of_attachments_are_the_ones_that_hold() -> None:
    """The table of limits names each constant's value."""
    rows = table("limits.md", "of an attachment", REPOSITORY / "docs" / "explanation")
    assert [int(row[1].replace(",", "")) for row in rows] == [
        uploading.MOST_PARTS,
        uploading.LONGEST_META,
        uploading.DEEPEST_META,
        longest(uploads.Seconds),
        tokens.SLOWEST,
        names.LONGEST,
    ]


def longest(annotation: Any) -> int:
    """The upper limit that an annotated type sets."""
    adapter = TypeAdapter(annotation).json_schema()
    return int(adapter.get("maxItems") or adapter["maximum"])


def test_every_table_is_listed() -> None:
    """The page on the database names the tables there are."""
    with Mall.open("sqlite://") as mall:
        there = set(inspected(mall.engine).get_table_names())
    assert {codes(row[0])[0] for row in table("database.md", "table")} == there


@pytest.mark.parametrize(
    "package", [structure, attachments, access, audit, webhooks], ids=lambda package: package.__name__
)
def test_every_public_name_is_in_the_reference(package: Any) -> None:
    """What a package promises is on its page, or among the events."""
    name = package.__name__
    page = (REFERENCE / "python" / f"{name.partition('.')[2]}.md").read_text(encoding="utf-8")
    shown = set(re.findall(rf"auto(?:function|class):: {re.escape(name)}\.(\w+)", page))
    kinds = {n for n in package.__all__ if isinstance(getattr(package, n), type)}
    told = {n for n in kinds if issubclass(getattr(package, n), events.Event)}
    assert set(package.__all__) - WIRING - told == shown


@pytest.mark.parametrize("module", [name for name in MODULES if not name.endswith(".operations")])
def test_the_examples_of_modules_run(module: str) -> None:
    """What a docstring shows is what happens."""
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        pytest.skip(f"{module}: {error}")
    run(doctest.DocTestFinder().find(found))


@pytest.mark.parametrize("name", SHOWING)
def test_the_examples_of_operations_run(name: str, ctx: Context) -> None:
    """The same for operations; ``ctx`` is a Context, and there is a channel ``books``."""
    function = SHOWING[name]
    own = vars(sys.modules[".".join(function.__module__.split(".")[:2])])
    module = vars(sys.modules[function.__module__])
    names = {**vars(structure), **module, **own, "timedelta": timedelta, "ctx": ctx}
    run([doctest.DocTestParser().get_doctest(inspect.getdoc(function) or "", names, name, None, None)])


@pytest.fixture
def ctx() -> Iterator[Context]:
    """What the examples of operations assume."""
    me = Principal.system("docs")
    with Mall.open("sqlite://") as mall:
        with mall.begin(me) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
            structure.create_section(ctx, channel="books", name="Fiction")
            structure.create_category(ctx, channel="books", name="Crime", parent="fiction")
        with mall.begin(me) as ctx:
            yield ctx


def run(tests: list[doctest.DocTest]) -> None:
    """Run the examples; fail with doctest's own words."""
    said: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    for test in tests:
        runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


MADE: list[tuple[str, str, Callable[[], list[list[str]]]]] = [
    ("settings.md", "setting", settings),
    ("permissions.md", "permission", permissions),
    ("permissions.md", "role", roles),
    ("events.md", "name", happening),
    ("webhook-events.md", "event", told),
    ("webhook-events.md", "shape", shapes),
    ("webhook-events.md", "after attempt", pauses),
]


def write(page: str, heading: str, rows: list[list[str]]) -> None:
    """Put these rows into the table whose first column has this heading."""
    path = REFERENCE / page
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {heading} |")) + 2
    end = next(number for number in range(start, len(lines)) if not lines[number].startswith("|"))
    lines[start:end] = [f"| {' | '.join(row)} |" for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for page, heading, make in MADE:
        write(page, heading, make())
