"""Small pictures for the page of results, and files that are there wholly or not at all."""

import io
import shutil
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageOps

SIZE = (900, 900)


def preview(picture: bytes) -> bytes:
    """A small JPEG, turned as the camera was held, with no metadata but the colour profile."""
    image = Image.open(io.BytesIO(picture))
    image.thumbnail(SIZE)
    turned = ImageOps.exif_transpose(image)
    out = io.BytesIO()
    turned.convert("RGB").save(out, "JPEG", quality=88, icc_profile=image.info.get("icc_profile"))
    return out.getvalue()


def put(folder: Path, files: Mapping[str, bytes]) -> None:
    """
    Write *files*; none at all takes the folder away.

    Raises:
        FileNotFoundError: The user's own folder is gone, two above: nothing is kept of who has left.
    """
    if not files:
        shutil.rmtree(folder, ignore_errors=True)
        return
    # Not with `parents=True`: that would make the user's folder again.
    folder.parent.mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        half = folder / f".{name}"
        half.write_bytes(content)
        half.replace(folder / name)
