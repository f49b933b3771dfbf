"""Errors: codes that stay, messages that name the thing, and nothing in them that must not be shown."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re
from typing import Any

import pytest

from mallcore import Mall, Principal, errors, structure
from mallcore.errors import InvalidInput, MalformedTaxonomy, MallError, TaxonomyProblem

ME = Principal.system("test")
SECRET = "s3cr3t-pa55"
KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, MallError)]


def sample(kind: type[MallError]) -> MallError:
    """An error of this kind, with a value for everything its message names."""
    if kind is MalformedTaxonomy:
        return MalformedTaxonomy(problems=[TaxonomyProblem(3, "it is empty"), TaxonomyProblem(0, "it is long")])
    names = re.findall(r"\{(\w+)", kind.__doc__ or "")
    return kind(**{name: f"<{name}>" for name in names})


@pytest.mark.parametrize("kind", KINDS)
def test_a_code_is_the_name_in_lower_case(kind: type[MallError]) -> None:
    """Who knows the class knows the code, and the other way round."""
    assert kind.code == re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


@pytest.mark.parametrize("kind", KINDS)
def test_the_message_is_filled_in(kind: type[MallError]) -> None:
    """Each error says what it is about: no braces are left, and what was given is an attribute."""
    error = sample(kind)
    assert str(error)
    assert not re.search(r"\{\w", str(error))
    for name, value in error.details.items():
        assert getattr(error, name) == value


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_pickling_and_copying(kind: type[MallError]) -> None:
    """An error that crosses a process comes out as it went in."""
    error = sample(kind)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert (str(again), again.details, again.code) == (str(error), error.details, error.code)
        assert again.__dict__ == error.__dict__


def test_a_message_with_braces_is_left_alone() -> None:
    """What a caller named is no template: braces in it stand for themselves."""
    assert str(errors.UnknownNode(node="{node}{0}{x!r}")) == "There is no node '{node}{0}{x!r}' in this tree."
    assert str(InvalidInput("{field} {", field="x")) == "{field} {"


def test_details_can_be_written_as_json() -> None:
    """What an error tells of itself goes into a problem document."""
    for kind in KINDS:
        assert json.loads(json.dumps(sample(kind).details)) is not None


WRONG: dict[str, Any] = {
    "text": f"{SECRET}\0",
    "set": {SECRET},
    "long": SECRET * 50_000,
    "mapping": {"no locale!": SECRET},
    "list": [SECRET],
}


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("argument", ["name", "parent", "slug", "index", "translations", "rules", "expected_revision"])
def test_refused_input_is_not_repeated(argument: str, value: Any) -> None:
    """An error names the argument and what is wrong with it; long or ill-typed values are not echoed whole."""
    with Mall.open("sqlite://", follow=False) as mall, mall.begin(ME) as ctx:
        structure.create_channel(ctx, slug="books", name="Books")
        arguments = {"channel": "books", "name": "Crime", argument: value}
        if argument == "parent" and isinstance(value, str) and "\0" not in value:
            pytest.skip("parent: an unknown node may be named, cut to length")
        with pytest.raises(MallError) as refused:
            structure.create_node(ctx, **arguments)
    assert len(str(refused.value)) < 1000
    assert SECRET not in f"{refused.value} {refused.value.details}"
    assert SECRET not in str(refused.value.__cause__)


def test_every_wrong_argument_is_told() -> None:
    """One answer lists all that is wrong with a call's form."""
    with Mall.open("sqlite://", follow=False) as mall, mall.begin(ME) as ctx, pytest.raises(InvalidInput) as refused:
        structure.create_node(ctx, channel=7, name=None, colour="red")  # type: ignore[arg-type]
    assert [one["field"] for one in refused.value.problems] == ["channel", "name", "colour"]
    assert refused.value.field == "channel"


def test_arguments_are_given_by_keyword() -> None:
    """An operation's arguments have names, so that they can grow; who counts on their order is told."""
    with Mall.open("sqlite://", follow=False) as mall, mall.begin(ME) as ctx, pytest.raises(TypeError, match="keyword"):
        structure.tree(ctx, "books")  # type: ignore[misc]
