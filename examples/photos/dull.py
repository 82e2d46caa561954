"""Makes a photograph dull, so that there is something to improve: little contrast, a warm cast, noise."""

import io
import random

from PIL import Image, ImageChops

CONTRAST = 0.5
CAST = (1.10, 1.0, 0.82)
"""Of red, green and blue: a lamp in the evening."""
NOISE = 8.0
"""The noise's standard deviation, in levels."""


def dull(picture: bytes, *, seed: int = 1) -> bytes:
    """A JPEG of *picture* as a poor camera would have taken it, with a little EXIF that tells so."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    tables = [
        max(0, min(255, round((64 + level * CONTRAST) * gain))) for gain in CAST for level in range(256)
    ]
    flat = image.point(tables)
    # One tile of noise, repeated: the generator of the standard library is slow.
    dice = random.Random(seed)  # noqa: S311 - noise
    tile = bytes(max(0, min(255, round(128 + dice.gauss(0, NOISE)))) for _ in range(3 * 128 * 128))
    grain = Image.new("RGB", flat.size)
    for left in range(0, flat.width, 128):
        for top in range(0, flat.height, 128):
            grain.paste(Image.frombytes("RGB", (128, 128), tile), (left, top))
    exif = Image.Exif()
    exif[0x010F] = "Dull & Sons"  # Make
    exif[0x0110] = "Evening lamp"  # Model
    exif[0x0112] = 1  # Orientation
    out = io.BytesIO()
    _added(flat, grain).save(out, "JPEG", quality=90, subsampling=0, exif=exif)
    return out.getvalue()


def _added(image: Image.Image, grain: Image.Image) -> Image.Image:
    """*image* plus *grain*, whose 128 means nothing."""
    return ImageChops.add(image, grain, scale=1, offset=-128)
