"""Plans: how often a client may ask, told in headers; who asks more often waits, and nobody else with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mallcore import Mall, Principal, access, structure
from mallcore.api import Dispatch, Refused, Request, Response, bearer
from mallcore.api.rates import Limiter
from mallcore.api.rules.rates import UNITS, Rate, Standing, headers, parsed
from mallcore.errors import InvalidSettings
from mallcore.kernel.context import Credential
from mallcore.kernel.sparing import Sparing
from mallcore.kernel.work import MemoryOnly

ME = Principal.system("test")
PLANS = {"partner": "2/minute; 3/day", "default": "5/hour", "anonymous": "1/minute"}


@pytest.fixture
def mall() -> Iterator[Mall]:
    """A mall with plans, and a channel that everybody may see."""
    with Mall.open("sqlite://", plans=PLANS) as opened:
        with opened.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
            access.grant(ctx, principal="anonymous:*", role="visitor")
        yield opened


def keys_of(mall: Mall, *plans: str | None) -> list[str]:
    """Keys of one client."""
    with mall.begin(ME) as ctx:
        client = access.create_client(ctx, name="A partner").id
        made = [access.create_api_key(ctx, client=client, name="Key", plan=plan) for plan in plans]
    return [one.secret or "" for one in made]


class Asking:
    """Asks a mall's API with a key, or as nobody."""

    def __init__(self, mall: Mall) -> None:
        self.dispatch = Dispatch(mall, bearer(mall))

    def __call__(self, key: str | None = None, address: str = "192.0.2.1") -> Response:
        given = {} if key is None else {"authorization": f"Bearer {key}"}
        request = Request("GET", "/channels", headers=given, origin={"REMOTE_ADDR": address})
        return self.dispatch.quick(request) or self.dispatch.run(request)


def test_a_client_asks_as_often_as_its_plan_says(mall: Mall) -> None:
    """Each answer tells what is left; one too many is a 429 that tells when to come again."""
    ask, (key,) = Asking(mall), keys_of(mall, "partner")
    answers = [ask(key) for _ in range(3)]
    assert [one.status for one in answers] == [200, 200, 429]
    assert answers[0].header("ratelimit-policy") == '"minute";q=2;w=60, "day";q=3;w=86400'
    assert (answers[0].header("ratelimit") or "").startswith('"minute";r=1;t=')
    problem = json.loads(answers[2].body)
    assert problem["code"] == "too-many-requests"
    assert (problem["limit"], problem["window"]) == (2, 60)
    assert 0 < problem["retry_after"] <= 60
    assert answers[2].header("retry-after") == str(problem["retry_after"])
    assert answers[2].header("ratelimit-policy") == answers[0].header("ratelimit-policy")


def test_all_keys_of_a_client_share_its_plan(mall: Mall) -> None:
    """Who makes more keys may not ask more often; another client is not held up."""
    ask, keys, others = Asking(mall), keys_of(mall, "partner", "partner"), keys_of(mall, "partner")
    assert [ask(key).status for key in (*keys, *keys)] == [200, 200, 429, 429]
    assert ask(others[0]).status == 200


def test_what_was_refused_does_not_count(mall: Mall) -> None:
    """Who is put off and waits as told is served: asking in vain does not put it off for longer."""
    limiter, who = Limiter({"default": "2/2 seconds"}), Principal.user("ada")
    passed = [_passes(limiter, who) for _ in range(20)]
    assert passed == [True, True] + [False] * 18


def _passes(limiter: Limiter, who: Principal, address: str = "") -> bool:
    try:
        limiter.check(who, Request("GET", "/", address=address))
    except Refused:
        return False
    return True


def test_who_has_no_plan_has_the_default(mall: Mall) -> None:
    """A key without a plan, a plan that is gone from the settings, and people: each has the default for itself."""
    limiter = Limiter({"default": "1/hour"})
    several = [
        Principal.user("ada"),
        Principal.user("grace"),
        Principal("client", "a", credential=Credential("k1")),
        Principal("client", "b", credential=Credential("k2", plan="gone")),
    ]
    assert [_passes(limiter, who) for who in (*several, *several)] == [True] * 4 + [False] * 4
    assert all(_passes(limiter, ME) for _ in range(3))


def test_each_credential_can_have_its_own(mall: Mall) -> None:
    """A host may count keys apart, and then not clients."""
    limiter = Limiter({"default": "1/hour"}, per="credential")
    keys = [Principal("client", "a", credential=Credential(id)) for id in ("k1", "k2")]
    assert [_passes(limiter, who) for who in (*keys, *keys)] == [True, True, False, False]


def test_nobody_is_known_by_its_address(mall: Mall) -> None:
    """Anonymous callers are counted by address; of IPv6, by what one customer has."""
    ask = Asking(mall)
    assert [ask(address="192.0.2.1").status for _ in range(2)] == [200, 429]
    assert [ask(address=f"2001:db8::{number}").status for number in (1, 2)] == [200, 429]
    assert ask(address="192.0.2.2").status == 200


def test_without_plans_nothing_is_counted() -> None:
    """A mall that limits nobody sends no such headers, and needs no library for it."""
    with Mall.open("sqlite://") as mall:
        (key,) = keys_of(mall, None)
        assert Asking(mall)(key).header("ratelimit") is None


def test_a_server_is_not_waited_for_on_an_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where counting waits for Redis, an event loop hands the request to a thread."""
    limiter = Limiter({"default": "1/hour"})
    limiter._waits = True

    async def check() -> Any:
        return limiter.check(Principal.user("ada"), Request("GET", "/"))

    with pytest.raises(MemoryOnly):
        asyncio.run(check())
    assert limiter.check(Principal.user("ada"), Request("GET", "/"))


@pytest.mark.parametrize(
    "plan", ["", "ten/minute", "10/fortnight", "0/minute", "1/minute;2/minute", "10 per minute", "1/0 days"]
)
def test_a_plan_that_makes_no_sense_is_refused(plan: str) -> None:
    """A misspelt plan is said when the mall is opened, not when the first client comes."""
    with pytest.raises(InvalidSettings) as refused:
        Mall.open("sqlite://", plans={"partner": plan})
    assert refused.value.details["setting"] == "plans"


def test_a_storage_nobody_knows_is_refused() -> None:
    """A URL that no storage answers is said when the mall is opened; what is secret in it is not."""
    with pytest.raises(InvalidSettings) as refused:
        Mall.open("sqlite://", plans=PLANS, rates="carrier-pigeon://user:hush@nowhere")
    assert "hush" not in str(refused.value)


@given(
    st.lists(
        st.tuples(st.integers(1, 10**6), st.sampled_from(sorted(UNITS))),
        min_size=1,
        max_size=4,
        unique_by=lambda one: one[1],
    )
)
def test_a_plan_is_read_as_it_is_written(rates: list[tuple[int, str]]) -> None:
    """Whatever the order of its windows, a plan has them all, the shortest first."""
    text = "; ".join(f"{most}/{unit}" for most, unit in rates)
    found = parsed("plan", text)
    assert sorted((one.most, one.name) for one in found) == sorted(rates)
    assert [one.window for one in found] == sorted(one.window for one in found)


def test_headers_tell_of_the_window_that_ends_first() -> None:
    """Of several windows, `RateLimit` tells of the one that leaves least."""
    standings = [Standing(Rate(10, 60), 9, 30), Standing(Rate(100, 86400), 3, 4000)]
    assert headers(standings) == [
        ("ratelimit-policy", '"minute";q=10;w=60, "day";q=100;w=86400'),
        ("ratelimit", '"day";r=3;t=4000'),
    ]


def test_sparing_counts_what_it_withholds() -> None:
    """Per key and altogether so many pass in a window; the next one that does is told how many did not."""
    now = [0.0]
    sparing = Sparing(2, 3, 10.0, lambda: now[0])
    assert [sparing.take("a") for _ in range(4)] == [0, 0, None, None]
    assert (sparing.spent("a"), sparing.spent("b")) == (True, False)
    assert [sparing.take("b") for _ in range(2)] == [2, None]
    now[0] = 10.0
    assert sparing.take("a") == 1


def test_sparing_keeps_few_keys() -> None:
    """However many keys there are, memory is bounded, and those that have no place share one."""
    sparing = Sparing(1, 10**9)
    passed = sum(sparing.take(f"k{number}") is not None for number in range(6000))
    assert passed == 4097
    assert len(sparing._counts) == 4097
