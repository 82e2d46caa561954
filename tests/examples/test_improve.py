"""The photo example's improvement: measured, not admired."""

import hashlib
import io
import struct
import zlib
from pathlib import Path

import pytest
from dull import dull
from improve import KINDS, CannotImprove, improve, noise
from PIL import Image, ImageCms

from tests.examples.measures import cast, contrast, opened, psnr, ssim

PICTURES = sorted((Path(__file__).parents[2] / "examples" / "photos" / "pictures").glob("*.jpg"))
by_name = pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def picture(kind: str, mode: str = "RGB", size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    """A ramp of *mode*, as a file of *kind*."""
    ramp = Image.linear_gradient("L").resize(size)
    out = io.BytesIO()
    image = ramp.convert(mode)
    if mode.endswith("A"):
        image.putalpha(ramp)
    image.save(out, kind, **options)
    return out.getvalue()


@by_name
def test_a_dull_photograph_comes_nearer_to_what_it_was(path: Path):
    """
    By its structure always; pixel by pixel too, but for a picture that was soft before.
    """
    original, poor = path.read_bytes(), dull(path.read_bytes())
    better = improve(poor)

    assert ssim(opened(better), opened(original)) > ssim(opened(poor), opened(original)) + 0.05
    if path.stem != "cat":
        assert psnr(opened(better), opened(original)) > psnr(opened(poor), opened(original)) + 2


@by_name
def test_each_fault_becomes_less(path: Path):
    """
    More contrast by half, colours as they were, less noise for the contrast there is.
    """
    original, poor = opened(path.read_bytes()), opened(dull(path.read_bytes()))
    better = opened(improve(dull(path.read_bytes())))

    assert contrast(better) > 1.4 * contrast(poor)
    assert cast(better, original) < 0.9 * cast(poor, original)
    assert noise(better.convert("L")) / contrast(better) < 0.75 * noise(poor.convert("L")) / contrast(poor)


@by_name
def test_a_good_photograph_is_hardly_touched(path: Path):
    """
    Its structure stays: nothing is invented and no detail smoothed away.
    """
    original = path.read_bytes()

    assert ssim(opened(improve(original)), opened(original)) > 0.8


def test_the_same_picture_gives_the_same_bytes():
    """
    A step that is done again makes the same file.
    """
    poor = dull(PICTURES[0].read_bytes())

    assert hashlib.sha256(improve(poor)).digest() == hashlib.sha256(improve(poor)).digest()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_metadata_profile_and_format_stay(kind: str):
    """
    Camera, orientation, place and colour profile are the user's; the pixels are not turned.
    """
    exif = Image.Exif()
    exif[0x0110], exif[0x0112] = "Camera", 6
    exif.get_ifd(0x8825)[1] = "N"
    poor = picture(kind, size=(64, 48), exif=exif.tobytes(), icc_profile=PROFILE)

    found = Image.open(io.BytesIO(improve(poor)))

    assert (kind, (64, 48)) == (found.format, found.size)
    assert ("Camera", 6) == (found.getexif()[0x0110], found.getexif()[0x0112])
    assert "N" == found.getexif().get_ifd(0x8825)[1]
    assert PROFILE == found.info["icc_profile"]
    assert Image.open(io.BytesIO(poor)).getexif().tobytes() == found.getexif().tobytes()


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGBA"), ("PNG", "LA"), ("WEBP", "RGBA"), ("JPEG", "L")])
def test_what_is_see_through_or_grey_stays_so(kind: str, mode: str):
    """
    Grey has no cast to lose, and the alpha channel is not a picture.
    """
    found = Image.open(io.BytesIO(improve(picture(kind, mode))))

    assert mode == found.mode


def test_a_progressive_jpeg_stays_progressive():
    """
    It was made to load so.
    """
    found = Image.open(io.BytesIO(improve(picture("JPEG", progressive=True))))

    assert found.info.get("progressive")


def test_a_picture_of_one_colour_is_one_still():
    """
    No contrast to stretch, nothing to divide by.
    """
    out = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 30, 30)).save(out, "PNG")

    colours = opened(improve(out.getvalue())).getcolors()

    assert colours is not None
    assert 1 == len(colours)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be of that size."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100))


@pytest.mark.parametrize(
    ("hostile", "says"),
    [
        (b"", "not a whole"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a whole"),
        (b"%!PS-Adobe-3.0\n", "not a whole"),
        (picture("GIF"), "not a whole"),
        (picture("TIFF"), "not a whole"),
        (picture("JPEG", size=(400, 300))[:900], "not a whole"),
        (picture("PNG", size=(400, 300))[:200], "not a whole"),
        (bomb(9_000, 9_000), "million pixels"),
        (bomb(12_000, 12_000), "million pixels"),
        (bomb(60_000, 60_000), "million pixels"),
        (picture("JPEG", "CMYK"), "CMYK"),
        (picture("PNG", "P"), "kind P"),
        (picture("WEBP", save_all=True, append_images=[Image.new("RGB", (64, 48))]), "moves"),
    ],
    ids=["nothing", "svg", "postscript", "gif", "tiff", "cut-jpeg", "cut-png", "large", "larger", "bomb",
         "cmyk", "palette", "animation"],
)  # fmt: skip
@pytest.mark.filterwarnings("default::PIL.Image.DecompressionBombWarning")
def test_what_is_no_picture_for_us_is_refused_with_a_reason(hostile: bytes, says: str):
    """
    Before anything is unpacked, and in words for the user.
    """
    with pytest.raises(CannotImprove) as caught:
        improve(hostile)

    assert says in str(caught.value)


def test_every_kind_that_is_read_is_one_that_the_tests_know():
    """
    Another reader would be another door.
    """
    assert {"JPEG", "PNG", "WEBP"} == set(KINDS)
