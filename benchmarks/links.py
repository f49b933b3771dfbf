"""Signed links beside itsdangerous, and CloudFront's signatures beside botocore's: how long one takes.

Pure computation: no database, no store, no network. Cases take turns, and each sample is the mean of many calls, in
seconds of the processor's time: what else runs on the machine does not count.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from time import thread_time_ns
from typing import Any

from benchmarks.measuring import Case, Finding, Times, interleaved, report
from mallcore.attachments.rules import tokens
from mallcore.backends.cloudfront import CloudFront
from mallcore.backends.secure_link import HmacEdge

KEY = b"k" * 32
NOW = 1_800_000_000
VERSION = "att_0192f0c1000070008000000000000001@3"
BOUND = tokens.binding(KEY, "user:ada")
CLAIMS = tokens.Claims(
    "get", "content", VERSION, "ab" * 16, NOW, NOW + 300, BOUND, 2, "inline", "", False, "Front view.png"
)
TOKEN = tokens.signed(CLAIMS, 1, KEY)
URL = f"https://d111.cloudfront.test/files/att_0192f0c1/3/Front-view.png?x-mall-jti={'ab' * 16}"
END = datetime(2027, 1, 15, tzinfo=UTC)
OURS_SIGN, OURS_OPEN = "mallcore, sign", "mallcore, verify"
CHECKED = "mallcore, verify with window, purpose and binding"


def allowed() -> bool:
    """All that is pure of opening a link."""
    claims = tokens.opened(TOKEN, lambda number: KEY)
    refused = tokens.refusal(claims, NOW + 1, "get", "content")
    return refused is None and tokens.is_bound_to(claims, KEY, "user:ada", None)


def links(rounds: int, inner: int) -> Iterator[Finding]:
    """Signing and verifying a token of twelve claims."""
    from itsdangerous import TimestampSigner, URLSafeTimedSerializer

    signer = TimestampSigner("k" * 32, salt="links")
    serializer = URLSafeTimedSerializer("k" * 32, salt="links")
    plain, said = f"/files/{VERSION}/inline", CLAIMS._asdict()
    stamped, dumped = signer.sign(plain), serializer.dumps(said)
    stamper, dumper = "itsdangerous TimestampSigner, of one text", "itsdangerous URLSafeTimedSerializer, same claims"
    cases: dict[str, Case] = {
        OURS_SIGN: lambda: tokens.signed(CLAIMS, 1, KEY),
        f"{stamper}: sign": lambda: signer.sign(plain),
        f"{dumper}: sign": lambda: serializer.dumps(said),
        OURS_OPEN: lambda: tokens.opened(TOKEN, lambda number: KEY),
        CHECKED: allowed,
        f"{stamper}: verify": lambda: signer.unsign(stamped, max_age=300),
        f"{dumper}: verify": lambda: serializer.loads(dumped, max_age=300),
    }
    found = Finding("links: sign and verify", "no database", _taken(cases, rounds, inner))
    found.compare(OURS_SIGN, f"{dumper}: sign")
    found.compare(OURS_SIGN, f"{stamper}: sign")
    found.compare(CHECKED, f"{dumper}: verify")
    found.compare(OURS_OPEN, f"{stamper}: verify")
    _within(found, OURS_SIGN, 10)
    _within(found, CHECKED, 15)
    found.notes.append(
        "itsdangerous has no leeway, key number or binding, and the verifier picks the window: it does less"
    )
    yield found


def refusals(rounds: int, inner: int) -> Iterator[Finding]:
    """A forged token, one under an unknown key, and one of a megabyte, beside one that is good."""
    forged = TOKEN[:-1] + ("A" if TOKEN[-1] != "A" else "B")
    unknown, long = TOKEN.replace("m1.1.", "m1.9.", 1), "A" * 1_000_000
    keys = {1: KEY}
    good, names = "a good one", {"forged": forged, "unknown key": unknown, "a megabyte": long}
    cases: dict[str, Case] = {good: lambda: tokens.opened(TOKEN, keys.get)}
    cases |= {name: _refused(token, keys.get) for name, token in names.items()}
    found = Finding("links: refusing", "no database", _taken(cases, rounds, inner))
    for name in names:
        found.compare(name, good, 1.5)
    yield found


def _refused(token: str, find: Callable[[int], bytes | None]) -> Case:
    def case() -> None:
        try:
            tokens.opened(token, find)
        except tokens.LinkRefused:
            return
        raise AssertionError("it was not refused")

    return case


def edges(rounds: int, inner: int) -> Iterator[Finding]:
    """A canned policy of CloudFront, by RSA and by ECDSA; and the HMAC of an edge."""
    from botocore.signers import CloudFrontSigner
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA1

    key, curve = rsa.generate_private_key(public_exponent=65537, key_size=2048), ec.generate_private_key(ec.SECP256R1())
    theirs = CloudFrontSigner("K1", lambda message: key.sign(message, padding.PKCS1v15(), SHA1()))
    ours, ecdsa = _front(key), _front(curve)
    edge = HmacEdge("https://edge.test", secret="s" * 32)
    path, jti = "/files/att_0192f0c1/3/Front-view.png", "ab" * 16
    mine, botocore = "CloudFront, RSA-2048: mallcore", "CloudFront, RSA-2048: botocore"
    cases: dict[str, Case] = {
        mine: lambda: ours.canned(URL, END),
        botocore: lambda: theirs.generate_presigned_url(URL, date_less_than=END),
        "CloudFront, ECDSA P-256: mallcore": lambda: ecdsa.canned(URL, END),
        "HMAC-SHA-256 of an edge: mallcore": lambda: edge.signed_url(path, expires=END, jti=jti),
        "the same, checked by the mall": _checked(edge, path, jti),
    }
    found = Finding("edges: signed URLs", "no database", _taken(cases, rounds, max(1, inner // 20)))
    found.compare(mine, botocore, 1.1)
    found.compare("CloudFront, ECDSA P-256: mallcore", botocore)
    found.notes.append("botocore is given a function that signs with the same key by the same library")
    yield found


def _front(key: Any) -> CloudFront:
    from cryptography.hazmat.primitives import serialization

    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, form, plain)
    return CloudFront("https://d111.cloudfront.test", key_id="K1", private_key=pem)


def _checked(edge: HmacEdge, path: str, jti: str) -> Case:
    target = edge.signed_url(path, expires=END, jti=jti).removeprefix(edge.base_url)
    now = END - timedelta(seconds=1)
    return lambda: edge.admits(target, {}, now)


def _taken(cases: dict[str, Case], rounds: int, inner: int) -> dict[str, Times]:
    return interleaved({name: _processor(case, inner) for name, case in cases.items()}, rounds)


def _processor(case: Case, inner: int) -> Case:
    def timed() -> float:
        calls, begin = range(inner), thread_time_ns()
        for _ in calls:
            case()
        return (thread_time_ns() - begin) / 1e9 / inner

    return timed


def _within(found: Finding, name: str, limit: float) -> None:
    taken = found.times[name].p50 * 1e6
    found.facts[f"{name}: target ≤ {limit:g} µs"] = f"{taken:.1f} µs, {'met' if taken <= limit else 'MISSED'}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.links", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    given = parser.parse_args()
    rounds, inner = (20, 200) if given.quick else (200, 500)

    def run() -> Iterator[Finding]:
        for case in (links, refusals, edges):
            yield from case(rounds, inner)

    report(run(), given.json)


if __name__ == "__main__":
    main()
