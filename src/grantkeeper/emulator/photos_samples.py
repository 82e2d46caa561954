"""Small pictures drawn here, so that a person's library is not empty and no pictures need to be shipped."""

import math
import struct
import zlib
from functools import lru_cache

WIDTH, HEIGHT = 240, 160

_Colour = tuple[int, int, int]

#: Sky above, sky at the horizon, sun, far hills, near hills.
_PALETTES: tuple[tuple[_Colour, _Colour, _Colour, _Colour, _Colour], ...] = (
    ((88, 136, 204), (226, 234, 240), (255, 246, 214), (112, 148, 138), (58, 98, 78)),
    ((58, 50, 104), (244, 148, 104), (255, 214, 140), (96, 66, 106), (44, 34, 66)),
    ((24, 34, 68), (74, 92, 132), (236, 238, 246), (34, 48, 82), (16, 24, 44)),
    ((148, 190, 206), (248, 238, 214), (255, 252, 240), (198, 172, 128), (150, 112, 76)),
    ((132, 152, 166), (214, 220, 222), (240, 240, 236), (120, 134, 140), (72, 84, 88)),
)


@lru_cache(maxsize=64)
def sample(number: int) -> bytes:
    """A landscape as PNG, 240 by 160; each *number* has its own, the same at every start."""
    high, low, sun, far, near = _PALETTES[number % len(_PALETTES)]
    phase = number * 1.7
    sun_x = 40 + (number * 67) % 160
    sun_y = 36 + (number * 29) % 44
    far_line = [96 + 12 * math.sin(x / 31 + phase) + 6 * math.sin(x / 11 + 2 * phase) for x in range(WIDTH)]
    near_line = [122 + 14 * math.sin(x / 47 - phase) + 4 * math.sin(x / 9 + phase) for x in range(WIDTH)]
    rows = []
    for y in range(HEIGHT):
        sky = bytes(_between(high, low, y / 110))
        row = bytearray(sky * WIDTH)
        for x in range(WIDTH):
            if y >= near_line[x]:
                colour = _between(near, (0, 0, 0), (y - near_line[x]) / 90)
            elif y >= far_line[x]:
                colour = _between(far, low, (y - far_line[x]) / 80)
            elif (x - sun_x) ** 2 + (y - sun_y) ** 2 <= 196:
                colour = sun
            else:
                continue
            row[3 * x : 3 * x + 3] = bytes(colour)
        rows.append(b"\0" + bytes(row))
    return png(WIDTH, HEIGHT, b"".join(rows))


def png(width: int, height: int, rows: bytes) -> bytes:
    """A PNG of 8-bit RGB *rows*, each after its filter byte."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def _between(one: _Colour, other: _Colour, share: float) -> _Colour:
    share = min(1.0, max(0.0, share))
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
