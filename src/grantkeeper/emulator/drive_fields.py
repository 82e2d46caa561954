"""
The partial-response language of Google's APIs: which parts of a resource the parameter `fields` asks for.

`nextPageToken,files(id,owners/displayName)` names members by path (`a/b`) and by group (`a(b,c)`); `*` names
all of them. A name that the resource does not have is an error, so a test finds the misspelt field at once.
"""

import re
from collections.abc import Mapping
from typing import Any

#: A chosen part: None for all of it, otherwise the chosen members.
Selection = dict[str, "Selection | None"]

#: What may be chosen: members by name; None for a member that has no members of its own, and "*" in place
#: of the names where any name may stand (a map such as `appProperties`).
Shape = Mapping[str, "Shape | None"]


class FieldsInvalid(ValueError):
    """Some part of `fields` names nothing; `part` is what Google repeats in its message."""

    def __init__(self, part: str) -> None:
        super().__init__(f"Invalid field selection {part}")
        self.part = part


def parse_fields(text: str, shape: Shape) -> Selection | None:
    """
    Read a `fields` parameter against the *shape* of the resource it selects from.

    Returns:
        The selection, or None when all of the resource is asked for.

    Raises:
        FieldsInvalid: The text is malformed or names a member that *shape* has not.
    """
    parser = _Parser(text)
    selection = parser.members(shape)
    parser.end()
    return selection


def select(resource: Mapping[str, Any], selection: Selection | None) -> dict[str, Any]:
    """The chosen part of *resource*; members it lacks are left out without complaint."""
    if selection is None:
        return dict(resource)
    return {name: _part(resource[name], members) for name, members in selection.items() if name in resource}


def _part(value: Any, members: Selection | None) -> Any:
    if members is None:
        return value
    if isinstance(value, list):
        return [_part(item, members) for item in value]
    if isinstance(value, Mapping):
        return select(value, members)
    return value


_NAME = re.compile(r"\s*([A-Za-z0-9_.\-]+|\*)\s*")


#: No resource of Google's is nested deeper.
_DEEPEST = 20


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def end(self) -> None:
        if self._at != len(self._text):
            raise FieldsInvalid(self._text[self._at :])

    def members(self, shape: Shape) -> Selection | None:
        """A list of members, up to the end or a closing bracket; None as soon as one of them is `*`."""
        chosen: Selection = {}
        everything = False
        while True:
            name, members = self._member(shape)
            everything = everything or (name == "*" and members is None)
            _merge(chosen, name, members)
            if not self._next(","):
                break
        if everything:
            return None
        if "*" in chosen and "*" not in shape:
            # `*/id`: the same choice in every member that has members.
            inner = chosen.pop("*")
            for name, below in shape.items():
                if below is not None:
                    _merge(chosen, name, inner)
        return chosen

    def _member(self, shape: Shape) -> tuple[str, Selection | None]:
        found = _NAME.match(self._text, self._at)
        if found is None:
            raise FieldsInvalid(self._text[self._at :])
        self._at = found.end()
        name = found[1]
        below = _below(shape, name)
        if self._next("/"):
            inner_name, inner = self._member(self._inside(name, below))
            self._depth -= 1
            if inner_name == "*" and inner is None:
                return name, None
            return name, {inner_name: inner}
        if self._next("("):
            inner_members = self.members(self._inside(name, below))
            self._depth -= 1
            if not self._next(")"):
                raise FieldsInvalid(self._text)
            return name, inner_members
        return name, None

    def _next(self, mark: str) -> bool:
        if self._text[self._at : self._at + 1] != mark:
            return False
        self._at += 1
        return True

    def _inside(self, name: str, below: Shape | None) -> Shape:
        self._depth += 1
        if below is None or self._depth > _DEEPEST:
            raise FieldsInvalid(f"{name}{self._text[self._at - 1 :]}")
        return below


def _below(shape: Shape, name: str) -> Shape | None:
    if name == "*":
        merged: dict[str, Shape | None] = {}
        for below in shape.values():
            merged.update(below or {})
        return merged
    if name in shape:
        return shape[name]
    if "*" in shape:
        return shape["*"]
    raise FieldsInvalid(name)


def _merge(chosen: Selection, name: str, members: Selection | None) -> None:
    """Add a choice; choosing all of a member wins over choosing some of it."""
    if name not in chosen:
        chosen[name] = members
        return
    present = chosen[name]
    if present is None or members is None:
        chosen[name] = None
        return
    for inner, below in members.items():
        _merge(present, inner, below)
