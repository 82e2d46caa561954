"""A page with pictures side by side, in one file that can be sent to anybody."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pair:
    """A photo before and after; both are JPEG."""

    name: str
    before: bytes = field(repr=False)
    after: bytes = field(repr=False)


def write_report(path: str, pairs: Sequence[Pair]) -> str:
    """Write the page to *path*; where it is, as a browser takes it."""
    page = files("grantkeeper.demo").joinpath("assets/report.html").read_text(encoding="utf-8")
    file = Path(path)
    file.write_text(page.replace("__PAIRS__", "\n".join(map(_figure, pairs))), encoding="utf-8")
    return file.resolve().as_uri()


def _figure(pair: Pair) -> str:
    sides = "".join(
        f'<div><img src="data:image/jpeg;base64,{base64.b64encode(content).decode()}" '
        f'alt="{escape(pair.name)}, {word.lower()}"><span>{word}</span></div>'
        for word, content in (("Before", pair.before), ("After", pair.after))
    )
    return f'<figure><div class="sides">{sides}</div><figcaption>{escape(pair.name)}</figcaption></figure>'
