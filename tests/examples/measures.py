"""How alike two pictures are, and how dull one is; Pillow alone."""

import io
import math
from typing import Any

from PIL import Image, ImageChops, ImageMath, ImageStat


def opened(picture: bytes) -> Image.Image:
    """As RGB."""
    return Image.open(io.BytesIO(picture)).convert("RGB")


def psnr(one: Image.Image, other: Image.Image) -> float:
    """The peak signal-to-noise ratio, in decibels: 20 is poor, 40 good."""
    rms = ImageStat.Stat(ImageChops.difference(one, other)).rms
    return 10 * math.log10(255**2 / (sum(value**2 for value in rms) / len(rms)))


def ssim(one: Image.Image, other: Image.Image) -> float:
    """The structural similarity of the brightness, over squares of eight pixels: 1 is the same."""
    a, b = one.convert("L").convert("F"), other.convert("L").convert("F")

    def mean(left: Image.Image, right: Image.Image | None = None) -> Any:
        product = (
            left if right is None else ImageMath.lambda_eval(lambda of: of["a"] * of["b"], a=left, b=right)
        )
        return product.resize((one.width // 8, one.height // 8), Image.Resampling.BOX).get_flattened_data()

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    squares = [
        (2 * ma * mb + c1)
        * (2 * (mab - ma * mb) + c2)
        / ((ma * ma + mb * mb + c1) * (maa - ma * ma + mbb - mb * mb + c2))
        for ma, mb, maa, mbb, mab in zip(mean(a), mean(b), mean(a, a), mean(b, b), mean(a, b), strict=True)
    ]
    return sum(squares) / len(squares)


def contrast(image: Image.Image) -> float:
    """The standard deviation of the brightness, in levels."""
    return ImageStat.Stat(image.convert("L")).stddev[0]


def cast(image: Image.Image, original: Image.Image) -> float:
    """How far the colours are from the original's, brightness aside, in levels."""
    mine, others = (one.convert("YCbCr") for one in (image, original))
    return sum(ImageStat.Stat(ImageChops.difference(mine, others)).mean[1:])
