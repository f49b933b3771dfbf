"""Tokens: only what was signed opens, only as it was sent, only while and for whom it says."""

from __future__ import annotations

import string
from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mallcore.attachments.rules import tokens
from mallcore.attachments.rules.tokens import Claims
from mallcore.errors import InvalidInput, LinkRefused

KEYS = {1: b"a" * 32, 2: b"b" * 32}
VERSION = "att_0192f0c1000070008000000000000001@3"
NOW = 1_700_000_000
PLAIN = Claims("get", "content", VERSION, "ab" * 16, NOW, NOW + 300)

text = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=40)
counted = st.integers(0, 2**40)
claims = st.builds(
    Claims, st.sampled_from(["get", "put"]), text, text, text, counted, counted, text, counted,
    st.sampled_from(["inline", "attachment"]), text, st.booleans(), text,
)  # fmt: skip


def refused(token: str) -> str:
    """The reason for which a token is refused."""
    with pytest.raises(LinkRefused) as caught:
        tokens.opened(token, KEYS.get)
    return str(caught.value.details["reason"])


@given(claims, st.sampled_from([1, 2]))
def test_what_was_signed_opens(said: Claims, number: int) -> None:
    """Every token opens to exactly the claims it was made of, and claims have one token."""
    token = tokens.signed(said, number, KEYS[number])
    assert tokens.opened(token, KEYS.get) == said
    assert token == tokens.signed(said, number, KEYS[number])
    assert set(token) <= set(string.ascii_letters + string.digits + "._-")


@given(claims, st.data())
def test_a_flipped_bit_is_refused(said: Claims, data: st.DataObject) -> None:
    """Whatever bit of a token is changed, it does not open."""
    raw = bytearray(tokens.signed(said, 1, KEYS[1]).encode())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    assert refused(raw.decode("latin-1")) in ("forged", "unknown-key")


@given(claims, claims)
def test_other_claims_have_another_token(one: Claims, other: Claims) -> None:
    """No two claims share a token: fields can't run into one another."""
    assert (one == other) == (tokens.signed(one, 1, KEYS[1]) == tokens.signed(other, 1, KEYS[1]))


@given(claims, claims)
def test_a_changed_field_is_refused(one: Claims, other: Claims) -> None:
    """The claims of one token do not open under the MAC of another."""
    first, second = (tokens.signed(said, 1, KEYS[1]).split(".") for said in (one, other))
    if first != second:
        assert refused(".".join([*second[:3], first[3]])) == "forged"


@pytest.mark.parametrize(
    "spelt",
    [
        lambda token: token[:-1],
        lambda token: token + "=",
        lambda token: token + "A",
        lambda token: token + "\n",
        lambda token: " " + token,
        lambda token: token.swapcase(),
        lambda token: quote(token, safe="").replace(".", "%2E"),
        lambda token: token.replace("m1.", "m2.", 1),
        lambda token: token.replace("m1.1.", "m1.01.", 1),
        lambda token: token.replace("m1.1.", "m1.+1.", 1),
        lambda token: token.replace("m1.1.", "m1.\u0661.", 1),
        lambda token: token.replace("m1.1.", "m1..", 1),
        lambda token: token + "&" + token,
        lambda token: ".".join(reversed(token.split("."))),
        lambda token: token.replace(".", "..", 1),
        lambda token: "",
        lambda token: "\ud800" + token,
    ],
)
def test_a_token_has_one_spelling(spelt: object) -> None:
    """Cut, padded, re-cased, re-ordered, doubled and doubly encoded: refused before anything in it is decoded."""
    token = tokens.signed(PLAIN, 1, KEYS[1])
    assert refused(spelt(token)) == "forged"  # type: ignore[operator]


def test_the_last_letter_of_the_mac_has_one_value() -> None:
    """Base64 ignores the last two bits of a 43-letter MAC; we do not."""
    token = tokens.signed(PLAIN, 1, KEYS[1])
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    twin = token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]
    assert urlsafe_b64decode(twin[-43:] + "=") == urlsafe_b64decode(token[-43:] + "=")
    assert refused(twin) == "forged"


def test_the_key_number_names_the_one_key() -> None:
    """A token under another key, and one under a key there is not, are refused."""
    assert refused(tokens.signed(PLAIN, 1, KEYS[2])) == "forged"
    assert refused(tokens.signed(PLAIN, 3, KEYS[1])) == "unknown-key"
    assert refused(tokens.signed(PLAIN, 1, KEYS[1]).replace("m1.1.", "m1.2.", 1)) == "forged"


def test_a_long_text_costs_nothing() -> None:
    """A text longer than any token is refused by its length; nobody looks for its key."""
    with pytest.raises(LinkRefused) as caught:
        tokens.opened("m1.1." + "A" * 5_000_000, lambda number: pytest.fail("looked for a key"))
    assert caught.value.details["reason"] == "too-long"
    with pytest.raises(InvalidInput):
        tokens.signed(PLAIN._replace(file_name="x" * 3000), 1, KEYS[1])


def test_no_field_can_hold_a_line_break() -> None:
    """What separates the fields of a token can't be in one of them."""
    with pytest.raises(InvalidInput):
        tokens.signed(PLAIN._replace(file_name="a\nb"), 1, KEYS[1])


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (NOW - 61, "not-yet-valid"), (NOW - 60, None), (NOW, None), (NOW + 300, None),
        (NOW + 359.9, None), (NOW + 360, "expired"),
    ],
)  # fmt: skip
def test_clocks_may_differ_by_a_minute(now: float, expected: str | None) -> None:
    """The window is open a minute longer at both ends, and not a second more."""
    assert tokens.refusal(PLAIN, now, "get", "content") == expected


def test_method_and_purpose_count() -> None:
    """A token to read does not write, and one for one purpose is good for no other."""
    assert tokens.refusal(PLAIN, NOW, "put", "content") == "wrong-method"
    assert tokens.refusal(PLAIN, NOW, "get", "invoice") == "wrong-purpose"


def test_a_bound_token_is_for_one() -> None:
    """Bound to a principal, any of its sessions may use it; bound to a session, only that one."""
    key = KEYS[1]
    hers = PLAIN._replace(bound_to=tokens.binding(key, "user:ada"))
    assert tokens.is_bound_to(hers, key, "user:ada", None)
    assert tokens.is_bound_to(hers, key, "user:ada", "s1")
    assert not tokens.is_bound_to(hers, key, "user:eve", None)
    once = PLAIN._replace(bound_to=tokens.binding(key, "user:ada", "s1"))
    assert tokens.is_bound_to(once, key, "user:ada", "s1")
    assert not tokens.is_bound_to(once, key, "user:ada", "s2")
    assert not tokens.is_bound_to(once, key, "user:ada", None)
    assert not tokens.is_bound_to(once, key, "user:eve", "s1")
    assert "user:ada" not in str(hers)
    assert tokens.is_bound_to(PLAIN, key, "anonymous:*", None)


@given(text, text, text, text)
def test_bindings_do_not_run_into_one_another(one: str, session: str, other: str, second: str) -> None:
    """Two pairs of principal and session have one binding only when they are the same."""
    same = (one, session) == (other, second)
    assert same == (tokens.binding(KEYS[1], one, session) == tokens.binding(KEYS[1], other, second))


@pytest.mark.parametrize(
    "target",
    ["/links/", "/links", "/files/x", "/links/a/b", "/links/a?b=1", "/links/a?", "/links/a%2eb", "/links/a#b",
     "/links/a&b", "/links/a;b", "//links/a", "/LINKS/a", ""],
)  # fmt: skip
def test_a_target_is_a_token_and_nothing_else(target: str) -> None:
    """A request with a query, an escape, a further segment or another spelling of the path is refused."""
    with pytest.raises(LinkRefused):
        tokens.token_in(target)


def test_a_repr_holds_no_signature() -> None:
    """What claims look like in a log is not enough to make their token."""
    token = tokens.signed(PLAIN, 1, KEYS[1])
    assert token.rpartition(".")[2] not in repr(tokens.opened(token, KEYS.get))


def test_the_encoding_is_fixed() -> None:
    """A token made by an earlier version of this code opens: the form of version 1 never changes."""
    said = PLAIN._replace(bound_to="p" + "0" * 32, epoch=4, recipe="cd" * 32, once=True, file_name="Käse.png")
    body = "\n".join(
        ["get", "content", VERSION, "ab" * 16, str(NOW), str(NOW + 300), "p" + "0" * 32, "4", "attachment",
         "cd" * 32, "1", "Käse.png"]
    )  # fmt: skip
    packed = urlsafe_b64encode(body.encode()).rstrip(b"=").decode()
    assert tokens.signed(said, 2, KEYS[2]).startswith(f"m1.2.{packed}.")
    assert len(tokens.signed(said, 2, KEYS[2]).rpartition(".")[2]) == 43
