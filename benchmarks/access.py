"""What access costs each request: recognising an API key, narrowing what its client may do, counting how often it asks.

All of it is answered from memory. Cases take turns, and each sample is the mean of many calls, in seconds of the
processor's time: what else runs on the machine does not count.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Iterator
from time import thread_time_ns

from joserfc import jws
from joserfc.jwk import OKPKey

from benchmarks.measuring import Case, Finding, Times, interleaved, report
from mallcore import Mall, Principal, access, structure
from mallcore.access import RecordedRefusals
from mallcore.access.rules import api_keys as rules
from mallcore.api import Refused, Request
from mallcore.api.rates import Limiter
from mallcore.backends.oauth import jose
from mallcore.backends.oauth.own_keys import OwnKeys
from mallcore.backends.oauth.verifying import TokenVerifier
from mallcore.errors import BadCredential
from mallcore.kernel.context import Credential
from mallcore.kernel.ports import Presented, Verifiers

ME = Principal.system("benchmark")
KNOWN, BOUND, PROVEN = "a key seen before", "the same, bound to addresses", "a key seen for the first time"
WRONG, UNKNOWN, SPOILT = "a wrong secret, refused", "an unknown key, refused", "a wrong checksum, refused"
SLOW = "scrypt (N=2^14), as for passwords"


def keys(rounds: int, inner: int) -> Iterator[Finding]:
    """Recognising a key among a thousand, and refusing what is none."""
    with Mall.open("sqlite://") as mall:
        with mall.begin(ME) as ctx:
            client = access.create_client(ctx, name="A partner").id
            made = [access.create_api_key(ctx, client=client, name=f"Key {number}") for number in range(1000)]
            near = access.create_api_key(ctx, client=client, name="Near", addresses=["192.0.2.0/24", "2001:db8::/32"])
        found = Finding(
            "API keys: recognise and refuse", "in memory", _taken(_keys(mall, made[7], near), rounds, inner)
        )
    found.compare(PROVEN, SLOW)
    found.compare(UNKNOWN, WRONG, 1.2)
    _within(found, KNOWN, 2)
    found.notes.append("a wrong secret and an unknown key take the same way; what differs is reading a row's fields")
    yield found


def _keys(mall: Mall, key: access.NewApiKey, near: access.NewApiKey) -> dict[str, Case]:
    port = mall.services.ports[access.ApiKeys]
    known, bound = Presented(key.secret or "", "192.0.2.7"), Presented(near.secret or "", "192.0.2.7")
    wrong = Presented(rules.written(key.id, bytes(32)))
    unknown = Presented(rules.written("key_" + "0" * 32, bytes(32)))
    spoilt = Presented((key.secret or "")[:-1] + "_")
    for presented in (known, bound):
        port.verify(presented)

    def proven() -> None:
        port._memory.accepted.clear()
        port.verify(known)
        port.verify(bound)

    def recalled(presented: Presented) -> Case:
        return lambda: port.recall(presented) or port.verify(presented)

    return {
        KNOWN: recalled(known),
        BOUND: recalled(bound),
        PROVEN: _halved(proven),
        WRONG: lambda: _refused(lambda: port.verify(wrong)),
        UNKNOWN: lambda: _refused(lambda: port.verify(unknown)),
        SPOILT: lambda: _refused(lambda: port.verify(spoilt)),
        SLOW: _once(lambda: hashlib.scrypt(b"s" * 43, salt=b"s" * 16, n=2**14, r=8, p=1)),
    }


def _refused(call: Callable[[], object]) -> None:
    try:
        call()
    except BadCredential:
        return
    raise AssertionError("it was not refused")


def narrowing(rounds: int, inner: int) -> Iterator[Finding]:
    """`Context.reach` with and without a credential, for a client that owns one unit."""
    with Mall.open("sqlite://") as mall:
        with mall.begin(ME) as ctx:
            channel = structure.create_channel(ctx, slug="books", name="Books")
            access.grant(ctx, principal="client:till", role="owner", scope="unit", unit="main")
        bearers = {
            "without a credential": None,
            "scopes": Credential("k", frozenset({"structure.*"})),
            "scopes and a channel": Credential("k", frozenset({"structure.*"}), channels=frozenset({channel.id})),
        }
        cases: dict[str, Case] = {name: _reaching(mall, credential) for name, credential in bearers.items()}
        found = Finding("narrowing: Context.reach", "in memory", _taken(cases, rounds, inner))
    found.compare("scopes and a channel", "without a credential")
    yield found


def _reaching(mall: Mall, credential: Credential | None) -> Case:
    principal = Principal("client", "till", credential=credential)
    mall.follower.start()
    context = mall.begin(principal).__enter__()
    return lambda: context.reach("structure.read")


TOKEN_KNOWN, TOKEN_NEW = "a token seen before", "a token seen for the first time"
SIGNATURE, SIGNED = "joserfc: the signature alone", "a new token, signed"


def tokens(rounds: int, inner: int) -> Iterator[Finding]:
    """Verifying access tokens (EdDSA, RFC 9068) of the mall's own authorization server, and making them."""
    with Mall.open("sqlite://", issuer="https://shop.example") as mall:
        mall.follower.start()
        cases = _tokens(mall)
        found = Finding("access tokens: verify", "in memory", _taken(cases, rounds, max(1, inner // 5)))
    found.compare(TOKEN_KNOWN, TOKEN_NEW)
    found.compare(TOKEN_NEW, SIGNATURE)
    yield found


def _tokens(mall: Mall) -> dict[str, Case]:
    keys = OwnKeys(mall.keys, "EdDSA", mall.services.clock)
    now = int(mall.services.clock().timestamp())
    url = mall.settings.issuer
    claims = {"iss": url, "aud": url, "sub": "client:till", "client_id": "till", "iat": now, "exp": now + 86_400,
              "jti": "tok_1", "scope": "structure.read structure.history"}  # fmt: skip
    token = keys.sign({"typ": "at+jwt"}, claims)
    (recorded,) = (one for one in mall.services.ports[Verifiers].known if one.takes(token))
    verifier = recorded._verifier if isinstance(recorded, RecordedRefusals) else recorded
    assert isinstance(verifier, TokenVerifier)
    shown, key = Presented(token), OKPKey.import_key(keys.jwks()["keys"][0])
    verifier.verify(shown)

    def new() -> None:
        verifier._known.clear()
        verifier.verify(shown)

    def known() -> None:
        assert verifier.recall(shown) is not None

    return {
        TOKEN_KNOWN: known,
        TOKEN_NEW: new,
        SIGNATURE: lambda: jws.deserialize_compact(token, key, registry=jose._REGISTRY),
        SIGNED: lambda: keys.sign({"typ": "at+jwt"}, claims),
    }


def rates(rounds: int, inner: int) -> Iterator[Finding]:
    """Counting a request of a plan with two windows, and refusing one too many."""
    limiter = Limiter({"default": "100000000/minute; 100000000/day", "none": "1/day"})
    request, spent = Request("GET", "/"), Principal("client", "spent", credential=Credential("k", plan="none"))
    limiter.check(spent, request)

    def refused() -> None:
        try:
            limiter.check(spent, request)
        except Refused:
            return
        raise AssertionError("it was not refused")

    cases: dict[str, Case] = {"one that is let through": _counted(limiter, request), "one too many": refused}
    yield Finding("rates: one check, in memory", "no server", _taken(cases, rounds, max(1, inner // 5)))


def _counted(limiter: Limiter, request: Request) -> Case:
    callers = iter(range(1 << 62))
    return lambda: limiter.check(Principal.user(str(next(callers) // 50)), request)


def _taken(cases: dict[str, Case], rounds: int, inner: int) -> dict[str, Times]:
    return interleaved({name: _processor(case, inner) for name, case in cases.items()}, rounds)


def _processor(case: Case, inner: int) -> Case:
    def timed() -> float:
        calls, begin = range(getattr(case, "inner", inner)), thread_time_ns()
        for _ in calls:
            case()
        return (thread_time_ns() - begin) / 1e9 / len(calls) / getattr(case, "parts", 1)

    return timed


def _halved(case: Callable[[], None]) -> Case:
    """A case that does its work twice."""
    setattr(case, "parts", 2)  # noqa: B010
    return case


def _once(case: Callable[[], object]) -> Case:
    """A case that is too long to be repeated."""
    setattr(case, "inner", 1)  # noqa: B010
    return case


def _within(found: Finding, name: str, limit: float) -> None:
    taken = found.times[name].p50 * 1e6
    found.facts[f"{name}: target ≤ {limit:g} µs"] = f"{taken:.2f} µs, {'met' if taken <= limit else 'MISSED'}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.access", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    given = parser.parse_args()
    rounds, inner = (20, 100) if given.quick else (100, 500)

    def run() -> Iterator[Finding]:
        for case in (keys, narrowing, tokens, rates):
            yield from case(rounds, inner)

    report(run(), given.json)


if __name__ == "__main__":
    main()
