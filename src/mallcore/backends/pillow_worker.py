"""Drawing with Pillow: what a recipe makes of a picture. It imports nothing of mallcore.

`mallcore.backends.pillow` runs this file in a process of its own, with limits that the system enforces: a decoder that
a hostile picture breaks takes nothing down but itself. The job is JSON in the first argument, the source is standard
input, the result standard output; one line on standard error says why there is none.
"""

from __future__ import annotations

import importlib
import json
import sys
from contextlib import suppress
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

REFUSED = 3  # exit status: the picture is broken or too much; anything else is the worker's own trouble
PLUGINS = {
    "image/png": "Png",
    "image/jpeg": "Jpeg",
    "image/gif": "Gif",
    "image/webp": "WebP",
    "image/avif": "Avif",
    "image/bmp": "Bmp",
}
"""The only decoders that are ever loaded: none of them starts a program, as that for PostScript would."""
LARGEST_SIDE = 4096


class Refused(Exception):
    """Nothing can be made of this picture."""


class Shape(NamedTuple):
    """What is cut out of a picture, the size it is drawn at, and that of the sheet it lies on."""

    cut: tuple[float, float, float, float]
    drawn: tuple[int, int]
    sheet: tuple[int, int]


def draw(source: BinaryIO, out: BinaryIO, job: dict[str, Any]) -> None:
    """Write what the recipe makes of the source's first frame. Equal jobs give equal bytes."""
    recipe = job["recipe"]
    image = _opened(source, job)
    shape = _shape(image.size, recipe)
    image.draft(None, tuple(2 * max(shape.drawn) for _ in range(2)))  # JPEG: decode no more than is needed
    image = _upright(image)
    shape = _shape(image.size, recipe)
    image = _plain(image)
    image = image.resize(shape.drawn, 1, box=shape.cut, reducing_gap=3.0)  # Lanczos
    image = _coloured(image)
    _save(_laid(image, shape, recipe), out, recipe)


def _opened(source: BinaryIO, job: dict[str, Any]) -> Any:
    from PIL import Image

    name = PLUGINS[job["detected_type"]]
    importlib.import_module(f"PIL.{name}ImagePlugin")
    image = Image.open(source, formats=(name.upper(),))
    width, height = image.size
    if width * height > job["most_pixels"]:
        raise Refused("it has too many pixels")
    if job["width"] is not None and (width > job["width"] or height > job["height"]):
        raise Refused("it is larger than its headers say")
    return image


def _upright(image: Any) -> Any:
    """Turned as its EXIF data says, which then goes, with all other metadata but the colour profile."""
    from PIL import ImageOps

    image.load()
    profile = image.info.get("icc_profile")
    transparency = image.info.get("transparency")
    with suppress(SyntaxError, ValueError, KeyError, TypeError, OverflowError, ArithmeticError):
        image = ImageOps.exif_transpose(image)  # data that can't be read turns nothing
    kept = {"icc_profile": profile, "transparency": transparency}
    image.info = {name: value for name, value in kept.items() if value is not None}
    return image


def _plain(image: Any) -> Any:
    """In one of the modes that can be drawn at another size: L, RGB, RGBA, CMYK."""
    if image.mode.startswith("I;16"):
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in ("PA", "LA", "RGBA", "RGBa", "La") or "transparency" in image.info:
        return _with_profile(image, "RGBA")
    return image if image.mode in ("L", "RGB", "CMYK") else _with_profile(image, "RGB")


def _with_profile(image: Any, mode: str) -> Any:
    profile = image.info.get("icc_profile")
    image = image.convert(mode)
    image.info = {} if profile is None else {"icc_profile": profile}
    return image


def _coloured(image: Any) -> Any:
    """In sRGB, whatever colours its profile means; a profile that can't be read means nothing."""
    profile = image.info.pop("icc_profile", None)
    wanted = "RGBA" if image.mode == "RGBA" else "RGB"
    if profile is not None:
        from PIL import ImageCms

        with suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            given = ImageCms.ImageCmsProfile(BytesIO(profile))
            converted = ImageCms.profileToProfile(image, given, ImageCms.createProfile("sRGB"), outputMode=wanted)
            image = image if converted is None else converted
    image = image if image.mode == wanted else image.convert(wanted)
    image.info = {}
    return image


def _shape(size: tuple[int, int], recipe: dict[str, Any]) -> Shape:
    width, height = size
    wide, high = recipe.get("width") or LARGEST_SIDE, recipe.get("height") or LARGEST_SIDE
    whole = (0.0, 0.0, float(width), float(height))
    if recipe["fit"] == "cover":
        factor = max(wide / width, high / height)
        left, top = (width - wide / factor) / 2, (height - high / factor) / 2
        cut = (max(0.0, left), max(0.0, top), min(width, left + wide / factor), min(height, top + high / factor))
        return Shape(cut, (wide, high), (wide, high))
    factor = min(wide / width, high / height, 1.0)
    drawn = (max(1, round(width * factor)), max(1, round(height * factor)))
    return Shape(whole, drawn, (wide, high) if recipe["fit"] == "fill" else drawn)


def _laid(image: Any, shape: Shape, recipe: dict[str, Any]) -> Any:
    """On a sheet of the background's colour; on none where the format can show what lies behind."""
    from PIL import Image

    see_through = recipe["format"] != "jpeg" and recipe.get("background") is None
    if shape.sheet == shape.drawn and (see_through or image.mode == "RGB"):
        return image
    colour = recipe.get("background") or "ffffff"
    paint = (*bytes.fromhex(colour), 0 if see_through else 255)
    sheet = Image.new("RGBA", shape.sheet, paint)
    at = ((shape.sheet[0] - shape.drawn[0]) // 2, (shape.sheet[1] - shape.drawn[1]) // 2)
    image = image.convert("RGBA")
    if see_through:
        sheet.paste(image, at)
        return sheet
    sheet.alpha_composite(image, at)
    return sheet.convert("RGB")


def _save(image: Any, out: BinaryIO, recipe: dict[str, Any]) -> None:
    name, quality = recipe["format"], recipe["quality"]
    options: dict[str, dict[str, Any]] = {
        "webp": {"quality": quality, "method": 4},
        "jpeg": {"quality": quality, "optimize": True, "progressive": True},
        "png": {"optimize": True},
        "avif": {"quality": quality, "speed": 6, "max_threads": 1},
    }
    importlib.import_module(f"PIL.{PLUGINS[f'image/{name}']}ImagePlugin")
    image.save(out, name.upper(), **options[name])


def _limit(job: dict[str, Any]) -> None:
    """What the system lets this process have; before a byte of the picture is read."""
    try:
        import resource
    except ImportError:  # no such system: the parent's time limit remains
        return
    limits = {"RLIMIT_AS": job["memory"], "RLIMIT_CPU": job["seconds"], "RLIMIT_FSIZE": job["largest"],
              "RLIMIT_CORE": 0}  # fmt: skip
    for name, most in limits.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


def main() -> int:
    """Do the one job of this process."""
    job = json.loads(sys.argv[1])
    sys.path[:] = job["path"]
    _limit(job)
    try:
        draw(sys.stdin.buffer, sys.stdout.buffer, job)
        sys.stdout.buffer.flush()
    except MemoryError:
        return _refused("it needs too much memory")
    except ImportError:
        raise
    except Exception as error:  # Pillow raises many kinds; to those who ask they are one
        return _refused(str(error) if isinstance(error, Refused) else f"it can't be decoded ({type(error).__name__})")
    return 0


def _refused(reason: str) -> int:
    print(reason, file=sys.stderr)
    return REFUSED


if __name__ == "__main__":
    sys.exit(main())
