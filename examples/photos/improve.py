"""Improves a photograph: less noise, truer white, more contrast, sharper; all else stays as it was."""

import io
import struct
import zlib
from collections.abc import Sequence

from PIL import Image, ImageChops, ImageFilter, ImageStat

MOST_BYTES = 200_000_000
"""What Google Photos takes."""
MOST_PIXELS = 64_000_000
"""More than a phone takes; some 200 MB for each copy at work."""
KINDS = ("JPEG", "PNG", "WEBP")
"""No other reader of Pillow's is let near a file from outside; phones' JPEGs open as ``MPO``."""

NOISE_SPREAD = 1.5
"""How far noise is smoothed, in pixels."""
NOISE_REACH = 8.0
"""A pixel this many times the noise away from its surroundings is an edge, and stays."""
MOST_GAIN = 1.35
"""Of one colour, against a cast."""
BELIEF = 0.65
"""How much of what looks like a cast is one; measured, see the README."""
MOST_STRETCH = 2.0
"""Of contrast; beyond it there is only noise to be seen."""
CLIPPED = 0.005
"""The share of pixels at either end that may become wholly black or white."""

_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    struct.error,
    zlib.error,
)


class CannotImprove(Exception):
    """This file is not improved, and never will be; the text says why, to the user."""


def improve(picture: bytes) -> bytes:
    """
    A better *picture*, in the same format, with the same metadata and colour profile.

    The same input gives the same bytes, under the same version of Pillow.

    Raises:
        CannotImprove: It is no picture, is cut off, too large, or of a kind that is left alone.
    """
    image = _opened(picture)
    alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else None
    better = image.convert("L" if image.mode in ("L", "LA") else "RGB")
    better = _denoised(better)
    better = _balanced(better)
    better = _stretched(better)
    better = better.filter(ImageFilter.UnsharpMask(radius=1.2, percent=60, threshold=4))
    if alpha is not None:
        better.putalpha(alpha)
    return _saved(better, image)


# -- in and out ---------------------------------------------------------------------------------


def _opened(picture: bytes) -> Image.Image:
    if len(picture) > MOST_BYTES:
        raise CannotImprove(f"the file is larger than {MOST_BYTES // 1_000_000} MB")
    try:
        # Reads the head only; nothing is unpacked before the size is known.
        image = Image.open(io.BytesIO(picture), formats=KINDS)
        if image.width * image.height > MOST_PIXELS:
            raise CannotImprove(f"the picture has more than {MOST_PIXELS // 1_000_000} million pixels")
        if image.format != "MPO" and getattr(image, "is_animated", False):
            raise CannotImprove("the picture moves")
        image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise CannotImprove(f"the picture has more than {MOST_PIXELS // 1_000_000} million pixels") from error
    except _BROKEN as error:
        raise CannotImprove("the file is not a whole JPEG, PNG or WebP picture") from error
    if image.mode not in ("RGB", "RGBA", "L", "LA"):
        raise CannotImprove(f"colours of the kind {image.mode} are left alone")
    return image


def _saved(image: Image.Image, original: Image.Image) -> bytes:
    """*image* in the original's format, with what travelled in the original beside its pixels."""
    kept = {
        name: original.info[name] for name in ("exif", "icc_profile", "xmp", "dpi") if name in original.info
    }
    out = io.BytesIO()
    match original.format:
        case "JPEG" | "MPO":
            progressive = bool(original.info.get("progressive"))
            image.save(out, "JPEG", quality=92, subsampling=0, optimize=True, progressive=progressive, **kept)
        case "WEBP":
            image.save(out, "WEBP", quality=92, method=4, **kept)
        case _:
            kept.pop("xmp", None)
            image.save(out, "PNG", optimize=True, **kept)
    return out.getvalue()


# -- the four improvements ----------------------------------------------------------------------


def _denoised(image: Image.Image) -> Image.Image:
    """Smooth where nothing but noise happens: gently in brightness, more in colour, where eyes are dull."""
    if image.mode == "L":
        return _smoothed(image)
    light, *colours = image.convert("YCbCr").split()
    colours = [
        one.filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.GaussianBlur(1.5)) for one in colours
    ]
    return Image.merge("YCbCr", (_smoothed(light), *colours)).convert("RGB")


def _smoothed(light: Image.Image) -> Image.Image:
    """The blurred picture shows through, the less the more a pixel and its neighbours differ from it."""
    reach = NOISE_REACH * noise(light)
    if reach < 1:
        return light
    blurred = light.filter(ImageFilter.GaussianBlur(NOISE_SPREAD))
    differing = ImageChops.difference(light, blurred).filter(ImageFilter.GaussianBlur(1))
    through = [max(0, round(255 * (1 - (difference / reach) ** 2))) for difference in range(256)]
    return Image.composite(blurred, light, differing.point(through))


def noise(light: Image.Image) -> float:
    """How much pixels differ from their surroundings, in levels, over the calmer part of the picture."""
    counts = ImageChops.difference(light, light.filter(ImageFilter.GaussianBlur(1))).histogram()
    left = calm = round(0.6 * sum(counts))
    total = 0
    for difference, count in enumerate(counts):
        total += difference * min(count, left)
        left -= min(count, left)
    return total / max(1, calm)


def _balanced(image: Image.Image) -> Image.Image:
    """
    Take most of a colour cast away.

    The brightest part is white more often than the mean of everything is grey, and either misleads:
    a coloured lamp the one, a picture of one colour the other. So both are heard, and not wholly believed.
    """
    if image.mode == "L":
        return image
    small = image.resize((256, 256), Image.Resampling.BOX)
    means = ImageStat.Stat(small).mean
    counts = small.histogram()
    brights = [_level(counts[start : start + 256], 0.97) for start in (0, 256, 512)]
    gains = [
        1 + BELIEF * (0.75 * bright + 0.25 * mean - 1)
        for bright, mean in zip(_gains(brights), _gains(means), strict=True)
    ]
    return image.point([min(255, round(level * gain)) for gain in gains for level in range(256)])


def _gains(levels: Sequence[float]) -> list[float]:
    """What makes *levels*, of red, green and blue, the same."""
    grey = sum(levels) / 3
    return [min(MOST_GAIN, max(1 / MOST_GAIN, grey / max(level, 1))) for level in levels]


def _stretched(image: Image.Image) -> Image.Image:
    """Let brightness reach from black to white, or as far as `MOST_STRETCH` takes it; all colours alike."""
    counts = image.convert("L").histogram()
    # A tenth of the way is left: dusk need not become noon.
    low = 0.9 * _level(counts, CLIPPED)
    high = 255 - 0.9 * (255 - _level(counts, 1 - CLIPPED))
    stretch = 255 / max(1.0, high - low)
    if stretch > MOST_STRETCH:
        # The level that the full stretch would leave as it is, is left as it is.
        fixed = low * 255 / (255 - (high - low))
        stretch, low = MOST_STRETCH, fixed - fixed / MOST_STRETCH
    table = [max(0, min(255, round((level - low) * stretch))) for level in range(256)]
    return image.point(table * len(image.getbands()))


def _level(counts: Sequence[int], share: float) -> int:
    """The level below which *share* of the pixels are."""
    wanted, seen = share * sum(counts), 0
    for level, count in enumerate(counts):
        seen += count
        if seen > wanted:
            return level
    return len(counts) - 1
