"""What some bytes are, told from their first ones: the type and the size of a picture, or a video."""

from typing import NamedTuple


class Look(NamedTuple):
    """A kind of media. Width and height are 0 where the emulator does not read them."""

    mime_type: str
    width: int = 0
    height: int = 0

    @property
    def is_video(self) -> bool:
        return self.mime_type.startswith("video/")


_BRANDS = {
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"avif": "image/avif",
    b"qt  ": "video/quicktime",
}


def look_at(content: bytes) -> Look | None:
    """What *content* is; None for what is neither photo nor video."""
    if content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) >= 24:
        return Look("image/png", _number(content[16:20]), _number(content[20:24]))
    if content.startswith(b"\xff\xd8\xff"):
        return Look("image/jpeg", *_jpeg_size(content))
    if content.startswith((b"GIF87a", b"GIF89a")) and len(content) >= 10:
        return Look("image/gif", *(int.from_bytes(content[at : at + 2], "little") for at in (6, 8)))
    if content[:4] == b"RIFF" and content[8:12] in (b"WEBP", b"AVI "):
        return Look("image/webp" if content[8:12] == b"WEBP" else "video/x-msvideo")
    if content[4:8] == b"ftyp":
        return Look(_BRANDS.get(content[8:12], "video/mp4"))
    if content.startswith((b"II*\x00", b"MM\x00*")):
        return Look("image/tiff")
    if content.startswith(b"BM"):
        return Look("image/bmp")
    return Look("video/x-matroska") if content.startswith(b"\x1a\x45\xdf\xa3") else None


def _number(text: bytes) -> int:
    return int.from_bytes(text, "big")


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """Width and height of the first frame; 0 by 0 if none is found (ITU T.81 B.1.1.3, B.2.2)."""
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return _number(content[at + 7 : at + 9]), _number(content[at + 5 : at + 7])
        else:
            at += 2 + max(2, _number(content[at + 2 : at + 4]))
    return 0, 0
