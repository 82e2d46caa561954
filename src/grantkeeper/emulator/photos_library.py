"""
Libraries as the Library API shows them: what one project made for one user, and nothing else.

This is the arithmetic of items and albums; how they look in JSON is in `photos_resources`.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from grantkeeper.emulator.photos_media import Look


@dataclass(eq=False)
class Item:
    """A media item. `content` is as it was uploaded, to the byte."""

    id: str
    sub: str
    project: str
    filename: str
    description: str
    look: Look
    created_at: datetime
    content: bytes = field(repr=False)


@dataclass(eq=False)
class Album:
    """An album: `order` holds the ids of its items and, between them, of its enrichments."""

    id: str
    title: str
    order: list[str] = field(default_factory=list)
    members: set[str] = field(default_factory=set)
    enrichments: set[str] = field(default_factory=set)
    cover: str | None = None

    def place(self, ids: Sequence[str], at: int) -> None:
        """Put items that are not in it yet at *at*, in their order."""
        new = [each for each in dict.fromkeys(ids) if each not in self.members]
        self.order[at:at] = new
        self.members.update(new)

    def take_out(self, ids: Sequence[str]) -> None:
        """Remove items; they stay in the library."""
        self.members.difference_update(ids)
        gone = set(ids)
        self.order = [each for each in self.order if each not in gone]
        if self.cover in gone:
            self.cover = None

    def enrich(self, at: int) -> str:
        """Put a text or a place at *at*; its id."""
        enrichment = new_id("ENR")
        self.enrichments.add(enrichment)
        self.order.insert(at, enrichment)
        return enrichment

    @property
    def items(self) -> list[str]:
        """The ids of its items, in its order."""
        return [each for each in self.order if each in self.members]


@dataclass(eq=False)
class Library:
    """What one project made for one user; items and albums by id, the oldest first."""

    sub: str
    project: str
    items: dict[str, Item] = field(default_factory=dict)
    albums: dict[str, Album] = field(default_factory=dict)

    def albums_of(self, item_id: str) -> list[Album]:
        """The albums that hold an item."""
        return [album for album in self.albums.values() if item_id in album.members]


class Libraries:
    """The libraries of all users and projects."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin again with none."""
        self._libraries: dict[tuple[str, str], Library] = {}
        self._items: dict[str, Item] = {}
        self._stored: dict[str, int] = {}

    def of(self, project: str, sub: str) -> Library:
        """The library of *project* at *sub*, made when first asked for."""
        return self._libraries.setdefault((project, sub), Library(sub, project))

    def of_user(self, sub: str) -> list[Library]:
        """Those of every project at *sub*."""
        return [library for library in list(self._libraries.values()) if library.sub == sub]

    def item(self, item_id: str) -> Item | None:
        """The item of that id, whoever's it is."""
        return self._items.get(item_id)

    def stored(self, sub: str) -> int:
        """Bytes that apps have put into the account of *sub*."""
        return self._stored.get(sub, 0)

    def add(self, item: Item) -> None:
        """Keep a new item."""
        self.of(item.project, item.sub).items[item.id] = item
        self._items[item.id] = item
        self._stored[item.sub] = self.stored(item.sub) + len(item.content)


def new_id(prefix: str = "AGj1epU") -> str:
    """An id that was never used."""
    return prefix + secrets.token_urlsafe(30)
