"""Derivatives: made once for all who ask, the same bytes each time, from pictures that may be hostile."""

from __future__ import annotations

import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import pytest

from mallcore import Mall, Principal, attachments, audit, hookimpl, structure
from mallcore.attachments import Derive, Facts, Recipe, Slot
from mallcore.attachments.operations import derivatives
from mallcore.attachments.rules.inspection import examined
from mallcore.backends.pillow import Pillow
from mallcore.errors import (
    CannotDerive,
    Denied,
    DerivativePending,
    InvalidInput,
    Quarantined,
    StageFirst,
    StoreUnavailable,
    Unavailable,
)
from tests.attachments import pictures
from tests.attachments.storehouse import ME, OWNER, Storehouse

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
ImageCms = pytest.importorskip("PIL.ImageCms", reason="Pillow is not installed")

GREY = pictures.png(40, 20)
REPOSITORY = Path(__file__).parents[2]


class Maker:
    """A plug-in that makes something of text, and counts how often; it can be told to fail or to take long."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.error: Exception | None = None
        self.seconds = 0.0

    @hookimpl
    def attachments_derivative_backend(self, detected_type: str) -> Derive | None:
        return self if detected_type == "text/plain" else None

    def make(self, source: BinaryIO, facts: Facts, recipe: Recipe, out: BinaryIO) -> str:
        self.made.append(recipe.text)
        time.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        out.write(pictures.png(4, 4) if recipe.format == "png" else source.read())
        return recipe.content_type


class Making(Storehouse):
    """A mall with that plug-in, and slots whose recipes are free."""

    def __init__(self, database: str, objects: Any = "memory://") -> None:
        self.maker = Maker()
        slots = [Slot("free", only_presets=False, verdicts=("virus",)), Slot("text", only_presets=False)]
        super().__init__(database, objects, plugins=[self.maker], slots=slots)

    def derive(self, ref: str, recipe: str = "format=png", principal: Principal = ME) -> attachments.Derivative:
        with self.mall.begin(principal) as ctx:
            return attachments.derivative(ctx, version=ref, recipe=recipe)

    def bytes_of(self, ref: str, recipe: str = "format=png") -> bytes:
        with self.mall.begin(ME) as ctx, attachments.open_derivative(ctx, version=ref, recipe=recipe) as stream:
            return stream.read()


@pytest.fixture
def making(database_url: str) -> Iterator[Making]:
    found = Making(database_url)
    yield found
    found.close()


@pytest.fixture
def text(making: Making) -> str:
    return making.put(b"a page of text", slot="text").ref


def test_a_derivative_is_made_once(making: Making, text: str) -> None:
    """Whoever asks again gets the same bytes, and nothing is made anew; that it was made is on record."""
    first = making.derive(text)
    assert making.derive(text) == first == making.derive(text, "q=80,format=png")
    assert making.maker.made == ["format=png"]
    assert making.bytes_of(text) == pictures.png(4, 4)
    assert (first.digest, first.size) == (sha256(pictures.png(4, 4)).hexdigest(), len(pictures.png(4, 4)))
    assert (first.recipe, first.derivative) == ("format=png", Recipe(format="png").digest)
    with making.mall.begin(ME) as ctx:
        events = [record.event for record in audit.list_records(ctx, limit=100).items]
    assert events.count("attachments.derivative_made") == 1


def test_another_recipe_or_source_is_another_derivative(making: Making, text: str) -> None:
    """The edge is from a content and a recipe; the same content under another name has the same derivative."""
    again = making.put(b"a page of text", slot="text", file_name="b.txt").ref
    other = making.put(b"another page", slot="text").ref
    for ref in (text, again, other):
        making.derive(ref)
        making.derive(ref, "format=png,w=5")
    assert len(making.maker.made) == 4


def test_a_derivative_can_be_linked_and_delivered(making: Making, text: str) -> None:
    """What links and URLs call it by is its recipe's digest."""
    made = making.derive(text)
    with making.mall.begin(ME) as ctx:
        delivered = attachments.deliver(ctx, version=text, derivative=made.derivative, via="proxy")
        assert delivered.body is not None
        with delivered.body as body:
            assert body.read() == pictures.png(4, 4)
    assert delivered.headers["Content-Type"] == "image/png"


def test_many_who_ask_at_once_get_one(making: Making, text: str) -> None:
    """Of many threads one makes it, the others wait for it."""
    making.maker.seconds = 0.3
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: making.derive(text), range(8)))
    assert len(set(found)) == 1
    assert len(making.maker.made) == 1


def test_who_has_waited_long_enough_is_told(making: Making, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody else is at it for too long, the answer is to ask again."""
    monkeypatch.setattr(derivatives, "PATIENCE", 0.1)
    claim(making, text)
    with pytest.raises(DerivativePending) as pending:
        making.derive(text)
    assert pending.value.seconds > 0
    assert making.maker.made == []


def claim(making: Making, ref: str) -> None:
    """Leave a row as somebody does who is making it, or has died of it."""
    with making.mall.begin(ME) as ctx:
        version = attachments.get_version(ctx, version=ref)
        assert derivatives._taken(ctx, version, Recipe(format="png"))


def test_what_a_dead_process_began_is_made_by_the_next(making: Making, text: str) -> None:
    """A lease ends: whoever died at it keeps nobody from making it later."""
    claim(making, text)
    making.clock.move(seconds=derivatives.LEASE.total_seconds() + 1)
    making.derive(text)
    assert making.maker.made == ["format=png"]


def test_a_failure_is_remembered_for_a_while(making: Making, text: str) -> None:
    """A broken picture is not drawn at every request, and tried again when some time has passed."""
    making.maker.error = CannotDerive(version="", recipe="", reason="it is broken")
    for _ in range(3):
        with pytest.raises(CannotDerive, match="it is broken"):
            making.derive(text)
    assert len(making.maker.made) == 1
    making.maker.error = None
    making.clock.move(minutes=11)
    assert making.derive(text).size
    assert len(making.maker.made) == 2


def test_a_store_that_is_down_is_nothing_to_remember(making: Making, text: str) -> None:
    """What says nothing of the source is tried again by the next who asks."""
    making.maker.error = StoreUnavailable(store="x", reason="it is down")
    with pytest.raises(StoreUnavailable):
        making.derive(text)
    making.maker.error = None
    assert making.derive(text).size


def test_a_maker_that_breaks_down_is_remembered_and_heard(making: Making, text: str) -> None:
    """A bug in a plug-in comes out as itself the first time, and is not tried at every request."""
    making.maker.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        making.derive(text)
    with pytest.raises(CannotDerive, match="broke down"):
        making.derive(text)
    assert len(making.maker.made) == 1


def test_what_is_made_must_be_what_was_ordered(making: Making, text: str) -> None:
    """A plug-in that gives text for a picture has made nothing."""
    with pytest.raises(CannotDerive, match="text/plain"):
        making.derive(text, "format=webp")
    assert making.rows("mall_attachment_derivative")[0].state == "failed"


def test_a_derivative_whose_bytes_are_gone_is_made_anew(making: Making, text: str) -> None:
    """A lost row of a content heals itself."""
    made = making.derive(text)
    with making.sql() as connection:
        connection.exec_driver_sql(f"UPDATE mall_blob SET state = 'deleting' WHERE digest = '{made.digest}'")
    assert making.derive(text) == made
    assert len(making.maker.made) == 2
    assert making.bytes_of(text) == pictures.png(4, 4)


def test_derivatives_go_with_their_source(making: Making) -> None:
    """While the source is kept, they are; when it is collected, they go along, and nothing else does."""
    text = making.put(b"a page that is dropped", slot="text", label=None).ref
    making.derive(text)
    kept = making.put(b"another page", slot="text", label=None).ref
    making.derive(kept, "format=png,w=5")
    making.collect_later()
    assert making.bytes_of(text) == pictures.png(4, 4)
    making.do("drop_version", version=text)
    making.collect_later()
    assert [row.source_digest for row in making.rows("mall_attachment_derivative")] == [
        sha256(b"another page").hexdigest()
    ]
    assert making.contents() == sorted([b"another page", pictures.png(4, 4)])
    making.do("drop_version", version=kept)
    making.collect_later()
    assert making.contents() == []


def test_nothing_is_made_within_a_unit_of_work_that_writes(making: Making, text: str) -> None:
    """Drawing takes its time: no transaction waits for it."""
    with making.mall.begin(ME) as ctx:
        structure.create_channel(ctx, slug="toys", name="Toys")
        with pytest.raises(StageFirst):
            attachments.derivative(ctx, version=text, recipe="format=png")


def test_nothing_is_made_of_what_is_in_quarantine(making: Making) -> None:
    """A scanner has not seen it: no decoder sees it."""
    ref = making.put(b"not checked", slot="free").ref
    with pytest.raises(Quarantined):
        making.derive(ref)
    assert making.maker.made == []


def test_who_may_not_read_the_source_gets_nothing_made(making: Making, text: str) -> None:
    """A derivative is read like its source."""
    with pytest.raises(Denied):
        making.derive(text, principal=Principal.user("eve"))
    assert making.maker.made == []


def test_what_no_plug_in_draws_is_said(making: Making) -> None:
    """A sound has no thumbnail."""
    ref = making.put(b"ID3\x04" + bytes(50), slot="text").ref
    with pytest.raises(CannotDerive, match="audio/mpeg"):
        making.derive(ref)


RACE = """
import sys, time
from tests.attachments.test_derivatives import Making, Maker
database, objects, version, log = sys.argv[1:]
class Racing(Maker):
    def make(self, *given):
        with open(log, "a") as file:
            file.write("made\\n")
        time.sleep(0.5)
        return super().make(*given)
import tests.attachments.test_derivatives as module
from mallcore import Mall
from mallcore.attachments import Slot
mall = Mall.open(database, objects=objects, plugins=[Racing()], slots=[Slot("text", only_presets=False)], follow=False)
print("ready", flush=True)
sys.stdin.readline()
from mallcore import attachments
with mall.begin(module.ME) as ctx:
    print(attachments.derivative(ctx, version=version, recipe="format=png").digest, flush=True)
"""


def test_of_many_processes_one_makes_it(database_url: str, tmp_path: Path) -> None:
    """The row decides, not a lock of one process."""
    house = Making(database_url, (tmp_path / "objects").as_uri())
    ref = house.put(b"a page of text", slot="text").ref
    log = tmp_path / "made.txt"
    command = [sys.executable, "-c", RACE, house.mall.engine.url.render_as_string(hide_password=False)]
    racing = [
        subprocess.Popen(
            [*command, (tmp_path / "objects").as_uri(), ref, str(log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        for _ in range(3)
    ]
    try:
        said = [one.stdout.readline() for one in racing if one.stdout is not None]
        assert said == ["ready\n"] * 3
        found = {one.communicate("go\n", timeout=60)[0] for one in racing}
    finally:
        for one in racing:
            one.kill()
            one.wait()
    assert found == {sha256(pictures.png(4, 4)).hexdigest() + "\n"}
    assert log.read_text().count("made") == 1
    house.close()


def drawn(content: bytes, recipe: str, maker: Pillow | None = None) -> Any:
    """What Pillow makes of a content, opened."""
    out = BytesIO()
    draw(content, recipe, out, maker)
    return Image.open(BytesIO(out.getvalue()))


def draw(content: bytes, recipe: str, out: BinaryIO, maker: Pillow | None = None) -> None:
    from mallcore.attachments.rules.recipes import parsed_recipe

    facts = examined(BytesIO(content), len(content))
    (maker or Pillow(isolated=False)).make(BytesIO(content), facts, parsed_recipe(recipe), out)


def picture(kind: str = "PNG", size: tuple[int, int] = (400, 200), mode: str = "RGB", **saved: Any) -> bytes:
    """A picture whose left half is red, and whose right half is blue."""
    image = Image.new("RGB", size, "blue")
    image.paste("red", (0, 0, size[0] // 2, size[1]))
    out = BytesIO()
    image.convert(mode).save(out, kind, **saved)
    return out.getvalue()


@pytest.mark.parametrize("source", ["PNG", "JPEG", "GIF", "WEBP", "AVIF", "BMP"])
@pytest.mark.parametrize("format", ["webp", "jpeg", "png", "avif"])
def test_pictures_are_drawn_in_every_format(source: str, format: str) -> None:
    """What slots take can be drawn, as what browsers show."""
    found = drawn(picture(source), f"w=100,format={format}")
    assert (found.format, found.size) == (format.upper(), (100, 50))
    red, blue = (found.convert("RGB").getpixel((x, 25)) for x in (10, 90))
    assert red[0] > 200 > 60 > red[2]
    assert blue[2] > 200 > 60 > blue[0]


@pytest.mark.parametrize(
    ("recipe", "size"),
    [
        ("w=100", (100, 50)),
        ("h=100", (200, 100)),
        ("w=100,h=100", (100, 50)),
        ("w=4000", (400, 200)),
        ("format=png", (400, 200)),
        ("w=100,h=100,fit=cover", (100, 100)),
        ("w=1000,h=100,fit=cover", (1000, 100)),
        ("w=1,h=1", (1, 1)),
        ("w=100,h=100,fit=fill", (100, 100)),
        ("w=900,h=900,fit=fill", (900, 900)),
        ("w=1,h=4096,fit=cover", (1, 4096)),
    ],
)
def test_a_recipe_says_how_large(recipe: str, size: tuple[int, int]) -> None:
    """Within the box, filling it, or padded to it; only what fills a box is ever enlarged."""
    assert drawn(picture(), recipe).size == size


def test_what_is_cut_off_is_cut_off_on_both_sides() -> None:
    """The middle stays."""
    found = drawn(picture(), "w=100,h=100,fit=cover,format=png").convert("RGB")
    assert [found.getpixel((x, 50)) for x in (2, 97)] == [(255, 0, 0), (0, 0, 255)]


def test_padding_shows_the_background_or_nothing() -> None:
    """Where a format can show what lies behind, it does, unless a colour is asked for."""
    corner = {
        bg: drawn(picture(), f"w=100,h=100,fit=fill,format=png{bg}").convert("RGBA").getpixel((50, 2))
        for bg in ("", ",bg=00ff00")
    }
    assert corner == {"": (255, 255, 255, 0), ",bg=00ff00": (0, 255, 0, 255)}
    assert drawn(picture(), "w=100,h=100,fit=fill,format=jpeg").getpixel((50, 2)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA"])
def test_what_is_transparent_stays_so(mode: str) -> None:
    """PNG, WebP and AVIF keep it; in a JPEG the background shows."""
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    out = BytesIO()
    image.convert(mode if mode != "P" else "RGBA").save(
        out, "GIF" if mode == "P" else "PNG" if mode != "PA" else "WEBP"
    )
    assert drawn(out.getvalue(), "w=10,format=png").convert("RGBA").getpixel((5, 5))[3] == 0
    assert min(drawn(out.getvalue(), "w=10,format=jpeg").getpixel((5, 5))) > 250


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "I;16"])
def test_unusual_modes_are_drawn(mode: str) -> None:
    """Grey, black and white, palettes, ink, sixteen bits."""
    kind = "JPEG" if mode == "CMYK" else "PNG"
    content = picture(kind, mode=mode) if mode != "I;16" else sixteen_bits()
    assert drawn(content, "w=100,format=jpeg").size == (100, 50)


def sixteen_bits() -> bytes:
    out = BytesIO()
    Image.new("I;16", (400, 200), 40_000).save(out, "PNG")
    return out.getvalue()


def test_a_photo_is_turned_as_its_camera_says_and_tells_no_more() -> None:
    """Orientation is applied; where and with what it was taken goes no further."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x8825] = 6, "A camera", {1: "N", 2: (52.0, 30.0, 0.0)}
    content = picture("JPEG", exif=exif, comment=b"secret words")
    for format in ("jpeg", "webp", "png", "avif"):
        out = BytesIO()
        draw(content, f"w=50,format={format}", out)
        found = Image.open(BytesIO(out.getvalue()))
        assert found.size == (50, 100)
        assert not found.getexif()
        assert b"A camera" not in out.getvalue()
        assert b"secret" not in out.getvalue()
        top = found.convert("RGB").getpixel((25, 10))
        assert top[0] > 200 > top[2]


def test_colours_are_those_that_were_meant() -> None:
    """A profile is applied and dropped: what comes out is sRGB; a broken one is as good as none."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for icc in (profile, b"no profile at all" * 20):
        for mode in ("RGB", "RGBA"):
            found = drawn(picture(mode=mode, icc_profile=icc), "w=100,format=png")
            assert "icc_profile" not in found.info
            assert found.convert("RGB").getpixel((10, 25)) == (255, 0, 0)


def test_of_many_frames_the_first_is_drawn() -> None:
    """An animation becomes a still picture."""
    frames = [Image.new("RGB", (40, 20), colour) for colour in ("blue", "green")]
    for kind in ("GIF", "WEBP", "PNG", "AVIF"):
        out = BytesIO()
        Image.new("RGB", (40, 20), "red").save(out, kind, save_all=True, append_images=frames)
        found = drawn(out.getvalue(), "w=20,format=png")
        assert getattr(found, "n_frames", 1) == 1
        assert found.convert("RGB").getpixel((5, 5))[0] > 200


@pytest.mark.parametrize("format", ["webp", "jpeg", "png", "avif"])
def test_equal_input_gives_equal_output(format: str) -> None:
    """In this process and in another: the bytes are the same."""
    made = []
    for maker in (Pillow(isolated=False), Pillow(isolated=False), Pillow()):
        with TemporaryFile() as out, TemporaryFile() as source:
            content = picture("JPEG", (640, 480))
            source.write(content)
            source.seek(0)
            recipe = Recipe(width=200, height=200, fit="cover", format=format)
            maker.make(source, examined(BytesIO(content), len(content)), recipe, out)
            out.seek(0)
            made.append(out.read())
    assert len(set(made)) == 1


HOSTILE = {
    "a pixel bomb": pictures.png(60_000, 60_000, pixels=b""),
    "a bomb within the limit, and nothing in it": pictures.png(8000, 8000, pixels=b""),
    "a WebP that lies": pictures.webp(100, 100),
    "a GIF that lies": pictures.gif(9000, 8000),
    "an AVIF of nothing": pictures.avif(100, 100),
    "a JPEG of nothing": pictures.jpeg(500, 500),
    "cut off": picture("PNG")[:-200] + pictures.chunk(b"IEND", b""),
    "text of a gigabyte": pictures.png(extra=pictures.chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(200_000_000)))),
    "a profile of a gigabyte": pictures.png(
        extra=pictures.chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(200_000_000)))
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_picture_is_one_that_can_not_be_drawn(making: Making, what: str) -> None:
    """A typed error, or a harmless picture; the process that asked lives on, and no file is left half made."""
    if making.mall.backend.name != "sqlite":
        pytest.skip("once is enough")
    ref = making.put(HOSTILE[what], slot="text").ref
    with suppress(CannotDerive):
        assert making.derive(ref, "w=50,format=webp").size < 5000
    assert making.derive(making.put(GREY, slot="text").ref, "w=10").size


def test_a_picture_gets_no_more_than_its_limits() -> None:
    """The system ends a process that takes too much memory; the caller is told."""
    content = picture("PNG", (3000, 3000), mode="RGBA")
    with TemporaryFile() as source, TemporaryFile() as out:
        source.write(content)
        source.seek(0)
        facts = examined(BytesIO(content), len(content))
        with pytest.raises(CannotDerive):
            Pillow(memory=120 << 20).make(source, facts, Recipe(width=2000), out)
        with pytest.raises(CannotDerive, match="pixels"):
            Pillow(most_pixels=1000).make(source, facts, Recipe(width=10), out)


def test_a_picture_gets_no_more_than_its_time() -> None:
    """A decoder, or an encoder, can't be stopped from within: the system ends its process."""
    with TemporaryFile() as source, TemporaryFile() as out:
        Image.effect_noise((3000, 3000), 90).save(source, "JPEG")
        size = source.tell()
        source.seek(0)
        with pytest.raises(CannotDerive, match="takes"):
            Pillow(seconds=1).make(source, examined(source, size), Recipe(format="avif", quality=100), out)


def test_not_all_pictures_are_drawn_at_once() -> None:
    """Who finds all places taken for too long is told to come again; a forked process has places of its own."""
    maker = Pillow(isolated=False, at_once=1, seconds=1)
    with maker._turn():
        with pytest.raises(Unavailable):
            draw(GREY, "w=5", BytesIO(), maker)
        maker._turns = (0, maker._turns[1])
        draw(GREY, "w=5", BytesIO(), maker)
    draw(GREY, "w=5", BytesIO(), maker)


LOADED = """
import io, sys
from mallcore.backends import pillow_worker
from tests.attachments import pictures
job = {"detected_type": "image/png", "width": 9, "height": 9, "most_pixels": 99,
       "recipe": {"fit": "contain", "format": "webp", "quality": 80}}
pillow_worker.draw(io.BytesIO(pictures.png(9, 9)), io.BytesIO(), job)
print(*(name.rpartition(".")[2] for name in sys.modules if name.startswith("PIL.")))
"""


def test_no_decoder_is_loaded_but_those_on_the_list() -> None:
    """What looks like a PNG to us and like PostScript to Pillow is not drawn: no other program is ever started."""
    for content in (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\0\0\0\0", b"8BPS\0\1" + bytes(30)):
        facts = Facts(len(content), "image/png", 9, 9, 1)
        with pytest.raises(CannotDerive):
            Pillow(isolated=False).make(BytesIO(content), facts, Recipe(), BytesIO())
    assert Pillow().attachments_derivative_backend("application/postscript") is None
    assert Pillow().attachments_derivative_backend("image/svg+xml") is None
    assert Pillow().attachments_derivative_backend("image/tiff") is None
    loaded = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert "PngImagePlugin" in loaded.stdout
    assert not {"EpsImagePlugin", "PsdImagePlugin", "TiffImagePlugin", "WmfImagePlugin"} & set(loaded.stdout.split())


def test_presets_are_all_that_is_made_in_the_built_in_slots() -> None:
    """Nobody fills the store by asking for a picture in a thousand sizes."""
    with Mall.open("sqlite://", objects="memory://") as mall:
        with mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        with mall.begin(ME) as ctx:
            version = attachments.upload_file(ctx, file=GREY, file_name="a.png", owner=OWNER, slot="image")
        with mall.begin(ME) as ctx, pytest.raises(InvalidInput, match="presets"):
            attachments.derivative(ctx, version=version.ref, recipe="w=201")
        with mall.begin(ME) as ctx:
            made = attachments.derivative(ctx, version=version.ref, recipe="small")
            assert made == attachments.derivative(ctx, version=version.ref, recipe="h=160,w=160")
