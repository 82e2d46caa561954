"""
The search language of Drive's `files.list`: the text of `q` becomes a condition that a file meets or not.

A search is a chain of terms (`name = 'x'`, `'root' in parents`, `trashed=false`) joined by `and` and `or`,
with `not` and parentheses. Drive reads the chain from left to right: `and` does not bind tighter than `or`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from grantkeeper.emulator.drive_store import DriveFile

Condition = Callable[[DriveFile], bool]


class QueryInvalid(ValueError):
    """The text is no search; Drive answers 400 `invalid` at `q`."""


def parse_query(text: str, *, project: str, aliases: dict[str, str]) -> Condition:
    """
    Read a search.

    Args:
        text: The value of `q`; empty text finds every file.
        project: Whose `appProperties` a search may look at: those of the asking app.
        aliases: Folder names that stand for an id (`root`, `appDataFolder`), in the case the caller must use.

    Raises:
        QueryInvalid: The text breaks the language. A search is never half understood.
    """
    tokens = _tokens(text)
    if not tokens:
        return lambda file: True
    return _Parser(tokens, project, aliases).parse()


@dataclass(frozen=True)
class _Token:
    kind: str  # word, text, operator, or the bracket or comma itself
    value: str


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^'\\]|\\.)*')
      | (?P<operator><=|>=|!=|=|<|>)
      | (?P<mark>[(){}])
      | (?P<word>[A-Za-z][A-Za-z0-9_]*)
    )""",
    re.VERBOSE | re.DOTALL,
)


def _tokens(text: str) -> list[_Token]:
    tokens = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            raise QueryInvalid(f"cannot read the search from character {at}")
        at = found.end()
        if (quoted := found["text"]) is not None:
            tokens.append(_Token("text", re.sub(r"\\(.)", r"\1", quoted[1:-1], flags=re.DOTALL)))
        elif (operator := found["operator"]) is not None:
            tokens.append(_Token("operator", operator))
        elif (mark := found["mark"]) is not None:
            tokens.append(_Token(mark, mark))
        else:
            tokens.append(_Token("word", found["word"]))
    return tokens


_END = _Token("end", "")


#: Brackets and `not` nested deeper than any search a person or a program would write.
_DEEPEST = 50


class _Parser:
    """One reading of one search, by recursive descent."""

    def __init__(self, tokens: list[_Token], project: str, aliases: dict[str, str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._project = project
        self._aliases = aliases

    def parse(self) -> Condition:
        condition = self._chain()
        if self._peek() is not _END:
            raise QueryInvalid(f"unexpected {self._peek().value!r}")
        return condition

    def _peek(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _take(self, kind: str, *values: str) -> str:
        token = self._peek()
        if token.kind != kind or (values and token.value not in values):
            raise QueryInvalid(f"unexpected {token.value!r}")
        self._at += 1
        return token.value

    def _chain(self) -> Condition:
        first = self._term()
        rest = []
        while self._peek().kind == "word" and self._peek().value in ("and", "or"):
            rest.append((self._take("word"), self._term()))
        return _chained(first, rest) if rest else first

    def _term(self) -> Condition:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise QueryInvalid("the search is nested too deeply")
        condition = self._one_term()
        self._depth -= 1
        return condition

    def _one_term(self) -> Condition:
        token = self._peek()
        if token.kind == "word" and token.value == "not":
            self._take("word")
            denied = self._term()
            return lambda file: not denied(file)
        if token.kind == "(":
            self._take("(")
            inner = self._chain()
            self._take(")")
            return inner
        if token.kind == "text":
            return self._membership()
        return self._comparison()

    def _membership(self) -> Condition:
        value = self._take("text")
        self._take("word", "in")
        field = self._take("word", "parents", "owners", "writers", "readers")
        if field == "parents":
            folder = self._aliases.get(value, value)
            return lambda file: file.parent == folder
        # Every file here belongs to the one user whose drive is searched.
        return lambda file: value in ("me", file.owner_email)

    def _comparison(self) -> Condition:
        field = self._take("word")
        if field in _TEXTS:
            return self._text(field)
        if field in _TIMES:
            return self._time(field)
        if field in _FLAGS:
            return self._flag(field)
        if field in ("properties", "appProperties"):
            return self._property(field)
        raise QueryInvalid(f"{field} cannot be searched")

    def _text(self, field: str) -> Condition:
        read, operators = _TEXTS[field]
        if self._peek().kind == "word":
            operator = self._take("word", "contains")
        else:
            operator = self._take("operator")
        if operator not in operators:
            raise QueryInvalid(f"{field} does not support {operator}")
        value = self._take("text")
        if operator == "=":
            return lambda file: read(file) == value
        if operator == "!=":
            return lambda file: read(file) != value
        if field == "mimeType":
            return lambda file: read(file).startswith(value)
        return lambda file: _contains_prefix(read(file), value)

    def _time(self, field: str) -> Condition:
        read = _TIMES[field]
        compare = _ORDERS[self._take("operator")]
        moment = _moment(self._take("text"))
        return lambda file: compare(read(file), moment)

    def _flag(self, field: str) -> Condition:
        read = _FLAGS[field]
        negative = self._take("operator", "=", "!=") == "!="
        wanted = (self._take("word", "true", "false") == "true") is not negative
        return lambda file: read(file) is wanted

    def _property(self, field: str) -> Condition:
        self._take("word", "has")
        self._take("{")
        self._take("word", "key")
        self._take("operator", "=")
        key = self._take("text")
        self._take("word", "and")
        self._take("word", "value")
        self._take("operator", "=")
        value = self._take("text")
        self._take("}")
        if field == "properties":
            return lambda file: file.properties.get(key) == value
        return lambda file: file.app_properties.get(self._project, {}).get(key) == value


def _chained(first: Condition, rest: list[tuple[str, Condition]]) -> Condition:
    def met(file: DriveFile) -> bool:
        result = first(file)
        for word, condition in rest:
            result = (result and condition(file)) if word == "and" else (result or condition(file))
        return result

    return met


def _contains_prefix(text: str, value: str) -> bool:
    """`contains` finds beginnings of words: `Hello` is found in `HelloWorld`, `World` is not."""
    wanted = re.escape(value.casefold())
    return re.search(r"(?<![^\W_])" + wanted, text.casefold()) is not None


def _moment(text: str) -> datetime:
    """A time of RFC 3339; without an offset it is UTC, and the time of day may be left out."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise QueryInvalid("a time is written as 2012-06-04T12:00:00") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _full_text(file: DriveFile) -> str:
    """What a full text search looks through: name, description and the content of text files."""
    body = ""
    if file.content is not None and file.mime_type.startswith(("text/", "application/json")):
        body = file.content.decode(errors="replace")
    return "\n".join((file.name, file.description or "", body))


_TEXTS: dict[str, tuple[Callable[[DriveFile], str], tuple[str, ...]]] = {
    "name": (lambda file: file.name, ("contains", "=", "!=")),
    "mimeType": (lambda file: file.mime_type, ("contains", "=", "!=")),
    "fullText": (_full_text, ("contains",)),
}
_TIMES: dict[str, Callable[[DriveFile], datetime]] = {
    "modifiedTime": lambda file: file.modified_time,
    "createdTime": lambda file: file.created_time,
    "viewedByMeTime": lambda file: file.modified_time,
}
_FLAGS: dict[str, Callable[[DriveFile], bool]] = {
    "trashed": lambda file: file.trashed,
    "starred": lambda file: file.starred,
}
_ORDERS: dict[str, Callable[[datetime, datetime], bool]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}
