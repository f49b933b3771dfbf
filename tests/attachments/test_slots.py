"""Slots and recipes: what a policy takes, what it refuses and why, and recipes that are one however they are spelt."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mallcore import Mall, Principal, attachments, audit, structure
from mallcore.attachments import Facts, Recipe, Slot
from mallcore.attachments.rules.recipes import LARGEST_SIDE, parsed_recipe
from mallcore.attachments.rules.slots import BUILT_IN, PICTURES, quarantine, refusal
from mallcore.errors import ContentRefused, InvalidInput, InvalidSettings, LimitExceeded, MallError, UnknownSlot
from tests.attachments import pictures

ME = Principal.system("test")
SLOTS = {slot.name: slot for slot in BUILT_IN}
PHOTO = Facts(1000, "image/png", 100, 100, 1)


@pytest.mark.parametrize(
    ("slot", "facts", "word"),
    [
        ("image", Facts(0, "application/octet-stream"), "empty"),
        ("image", Facts(9, "image/svg+xml"), "image/svg+xml"),
        ("image", Facts(9, "text/html"), "text/html"),
        ("image", Facts(21 << 20, "image/png", 1, 1, 1), "bytes"),
        ("image", Facts(9, "image/png"), "width"),
        ("image", Facts(9, "image/png", 100, None, 1), "width"),
        ("image", Facts(9, "image/gif", 10, 10), "frames"),
        ("image", Facts(9, "image/gif", 10, 10, 501), "frames"),
        ("image", Facts(9, "image/png", 60_000, 60_000, 1), "pixels"),
        ("upload", Facts(9, "application/zip", unpacked=9), "application/zip"),
        ("upload", Facts(9, "application/epub+zip", unpacked=2 << 30), "unpacks"),
        ("upload", Facts(9, "application/epub+zip"), "contents"),
        ("upload", Facts(9, "application/vnd.ms-word.document.macroenabled.12", unpacked=9), "macroenabled"),
        ("upload", Facts(9, "application/vnd.microsoft.portable-executable"), "executable"),
        ("upload", Facts(9, "image/jpeg", 9000, 9000, 1), "pixels"),
        ("file", Facts(6 << 30, "application/pdf"), "bytes"),
    ],
)
def test_a_slot_says_why_it_refuses(slot: str, facts: Facts, word: str) -> None:
    """Each reason names what is wrong with the content."""
    assert word in (refusal(SLOTS[slot], facts) or "")


@pytest.mark.parametrize("slot", SLOTS)
def test_a_slot_takes_what_it_is_for(slot: str) -> None:
    """A photo is taken everywhere, a document where documents are, anything in `file`."""
    assert refusal(SLOTS[slot], PHOTO) is None
    assert (refusal(SLOTS[slot], Facts(9, "application/pdf")) is None) == (slot in ("upload", "file"))
    assert (refusal(SLOTS[slot], Facts(0, "application/octet-stream")) is None) == (slot == "file")


def test_who_may_see_what_is_a_matter_of_the_slot() -> None:
    """Pictures of the shop are public and shown; what people upload is neither."""
    assert {name: (slot.public, slot.inline) for name, slot in SLOTS.items()} == {
        "image": (True, True),
        "banner": (True, True),
        "upload": (False, False),
        "file": (False, False),
    }
    assert not any(slot.takes("image/svg+xml") or slot.takes("text/html") for slot in BUILT_IN if slot.inline)


def test_types_may_be_patterns() -> None:
    """`image/*` takes every picture, also SVG: who writes it means it."""
    slot = Slot("any-picture", ("image/*",))
    assert slot.takes("image/svg+xml")
    assert not slot.takes("imagery/png")
    assert not slot.takes("text/html")
    assert Slot("all").takes("x/y")


@pytest.mark.parametrize(
    "given",
    [
        {"name": ""},
        {"name": "A"},
        {"name": "a b"},
        {"name": "../a"},
        {"name": "a" * 41},
        {"types": ()},
        {"types": ("png",)},
        {"types": "image/png"},
        {"types": ("*",)},
        {"largest": 0},
        {"most_pixels": -1},
        {"keep_days": 0},
        {"verdicts": ("Virus!",)},
        {"verdicts": "virus"},
        {"recipes": (Recipe(name="a"), Recipe(name="a", width=1))},
    ],
)
def test_a_wrong_slot_is_refused_when_it_is_declared(given: dict[str, Any]) -> None:
    """A policy that would let everything in, or nothing, by a slip of the pen does not get into a mall."""
    with pytest.raises(InvalidSettings):
        Slot(**{"name": "mine", **given})


def test_a_host_declares_slots_of_its_own() -> None:
    """A slot of the host's takes the place of a built-in one of its name; the others stay."""
    own = [Slot("file", ("text/plain",)), Slot("avatar", ("image/png",), largest=200, most_pixels=4)]
    with Mall.open("sqlite://", slots=own) as mall:
        with mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        for slot, content, error in (
            ("avatar", pictures.png(2, 2), None),
            ("avatar", pictures.png(3, 2), ContentRefused),
            ("avatar", pictures.png(2, 2) + b"x" * 200, LimitExceeded),
            ("avatar", pictures.gif(), ContentRefused),
            ("file", b"plain", None),
            ("file", pictures.png(), ContentRefused),
            ("image", pictures.png(), None),
            ("nothing", b"", UnknownSlot),
        ):
            assert raised(mall, slot, content) is error, slot


def raised(mall: Mall, slot: str, content: bytes) -> type[MallError] | None:
    try:
        with mall.begin(ME) as ctx:
            attachments.upload_file(ctx, file=content, file_name="a", owner="channel:books", slot=slot)
    except MallError as error:
        return type(error)
    return None


BAD = {
    "a page called a picture": (b"<html><script>alert(1)</script>", "image"),
    "a drawing with a script": (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "image"),
    "a pixel bomb": (pictures.png(60_000, 60_000, pixels=b""), "image"),
    "too many frames": (pictures.gif(frames=100_000), "banner"),
    "a WebP that lies": (pictures.webp(16_777_216, 256), "image"),
    "an AVIF that says nothing": (pictures.avif(said=False), "image"),
    "a picture that is cut off": (pictures.png(50, 50)[:-20], "image"),
    "nothing": (b"", "image"),
    "nothing, as a document": (b"", "upload"),
    "a zip bomb called a document": (
        pictures.packed({"a": bytes(2_000_000_000 // 8)} | {f"b{n}": bytes(1) for n in range(3)}),
        "upload",
    ),
    "a program": (b"MZ" + bytes(200), "upload"),
    "a document with macros": (
        pictures.packed({"[Content_Types].xml": "", "word/document.xml": "", "word/vbaProject.bin": ""}),
        "upload",
    ),
}


def test_bad_content_is_refused_with_nothing_left() -> None:
    """Whatever it is called, it leaves no byte in the store and no row but the one that says it was refused."""
    with Mall.open("sqlite://", objects="memory://") as mall:
        with mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        for what, (content, slot) in BAD.items():
            with pytest.raises(ContentRefused), mall.begin(ME) as ctx:
                attachments.upload_file(
                    ctx, file=content, file_name="a.png", owner="channel:books", slot=slot, declared_type="image/png"
                )
            assert list(mall.stores["main"].iter()) == [], what
        with mall.begin(ME) as ctx:
            assert attachments.list_attachments(ctx).items == []
            refused = audit.list_records(ctx, event="attachments.upload_refused", limit=100).items
        assert len(refused) == len(BAD)
        assert {record.outcome for record in refused} == {"denied"}


@pytest.mark.parametrize(
    ("required", "results", "word"),
    [
        ((), {}, None),
        (("virus",), {"virus": "clean"}, None),
        ((), {"virus": "clean"}, None),
        ((), {"virus": "unsure"}, None),
        (("virus",), {}, "not done"),
        (("virus",), {"virus": "unsure"}, "could not tell"),
        ((), {"x": "bad"}, "found it bad"),
        (("virus", "faces"), {"virus": "clean"}, "faces"),
        (("virus",), {"virus": "clean", "x": "bad"}, "x found it bad"),
    ],
)
def test_content_waits_until_all_is_well(required: tuple[str, ...], results: dict[str, str], word: str | None) -> None:
    """One check that found it bad is enough, and so is one that the slot asks for and that is not done."""
    found = quarantine(required, results)
    assert (found is None) if word is None else (word in (found or ""))


RECIPES = st.builds(
    Recipe,
    width=st.integers(1, LARGEST_SIDE),
    height=st.integers(1, LARGEST_SIDE),
    fit=st.sampled_from(["contain", "cover", "fill"]),
    format=st.sampled_from(["webp", "jpeg", "png", "avif"]),
    quality=st.integers(1, 100),
    background=st.none() | st.from_regex("[0-9a-f]{6}", fullmatch=True),
)


@given(RECIPES, st.randoms())
def test_a_recipe_is_one_however_it_is_spelt(recipe: Recipe, random: Any) -> None:
    """The order of the parts, the case and the defaults do not matter: it has one text and one digest."""
    parts = recipe.text.split(",")
    random.shuffle(parts)
    again = parsed_recipe(
        ",".join(part.upper().replace(part.partition("=")[0].upper(), part.partition("=")[0]) for part in parts)
    )
    assert (again, again.text, again.digest) == (recipe, recipe.text, recipe.digest)


@given(RECIPES, RECIPES)
def test_other_recipes_have_other_digests(one: Recipe, other: Recipe) -> None:
    """Two recipes that differ in anything but their name are not one."""
    assert (one == other) == (one.digest == other.digest)


def test_defaults_and_names_do_not_count() -> None:
    """What says nothing new changes nothing."""
    assert parsed_recipe("w=5,q=80,fit=contain,format=webp").digest == Recipe(name="x", width=5).digest
    assert Recipe(width=5).text == "w=5,format=webp"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "w",
        "w=",
        "w=0",
        "w=-1",
        "w=+1",
        "w=1.5",
        "w=01",
        "w=\u0665",
        "w=4097",
        "w=99999999999",
        "w=1,w=2",
        "x=1",
        "w=1,",
        "fit=cover",
        "fit=cover,w=1",
        "fit=zoom,w=1,h=1",
        "format=gif",
        "format=svg",
        "format=eps",
        "q=0",
        "q=101",
        "bg=red",
        "bg=fffffff",
        "w=1;h=2",
        "w=1&h=2",
        "w=1," + "h=1," * 100,
        "raw=1",
        "format=webp\n",
        "w = 1",
    ],
)
def test_a_wrong_recipe_is_refused(text: str) -> None:
    """Whatever is not quite a recipe is none: nothing is guessed, no number is without end."""
    with pytest.raises(InvalidInput):
        parsed_recipe(text)


def test_a_slot_makes_its_presets_and_no_others() -> None:
    """A preset is asked for by its name or spelt out; another recipe only where the slot allows it."""
    preset = Recipe(name="tile", width=200, height=200, fit="cover")
    closed, opened = Slot("a", PICTURES, recipes=(preset,)), Slot("b", PICTURES, recipes=(preset,), only_presets=False)
    assert closed.recipe("tile") == closed.recipe("h=200,fit=cover,w=200").__class__(
        name="tile", width=200, height=200, fit="cover"
    )
    for text in ("w=201", "huge", ""):
        with pytest.raises(InvalidInput):
            closed.recipe(text)
    assert opened.recipe("w=201").width == 201
    with pytest.raises(InvalidInput):
        opened.recipe("huge")
