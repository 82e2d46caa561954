"""The search language of files.list."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantkeeper.emulator.drive_query import QueryInvalid, parse_query
from grantkeeper.emulator.drive_store import FOLDER, DriveFile

DAY = datetime(2026, 11, 22, tzinfo=UTC)


def file(name: str, mime_type: str = "text/plain", **changes: object) -> DriveFile:
    values = {
        "id": f"id-{name}",
        "owner": "1",
        "owner_email": "ann@example.com",
        "project": "ours",
        "space": "drive",
        "parent": "root-id",
        "created_time": DAY,
        "modified_time": DAY,
        "content": b"",
    }
    return DriveFile(name=name, mime_type=mime_type, **{**values, **changes})  # type: ignore[arg-type]


FILES = [
    file("plan.txt", content=b"an elephant", modified_time=datetime(2026, 1, 1, tzinfo=UTC)),
    file("HelloWorld.png", "image/png", starred=True),
    file("it's", trashed=True),
    file("back\\slash", parent="folder-id"),
    file("folder", FOLDER, content=None),
    file("mine", properties={"colour": "red"}, app_properties={"ours": {"key": "v"}, "theirs": {"k": "w"}}),
]


def found(query: str) -> list[str]:
    condition = parse_query(query, project="ours", aliases={"root": "root-id"})
    return [file.name for file in FILES if condition(file)]


ALL = [each.name for each in FILES]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ALL),
        ("  ", ALL),
        ("name = 'plan.txt'", ["plan.txt"]),
        ("name='plan.txt'", ["plan.txt"]),
        ("name='plan.txt'and trashed=false", ["plan.txt"]),
        ("name != 'plan.txt'", ALL[1:]),
        (r"name = 'it\'s'", ["it's"]),
        (r"name = 'back\\slash'", ["back\\slash"]),
        ("name contains 'hello'", ["HelloWorld.png"]),
        ("name contains 'World'", []),
        ("name contains 'txt'", ["plan.txt"]),
        ("fullText contains 'eleph'", ["plan.txt"]),
        ("mimeType = 'image/png'", ["HelloWorld.png"]),
        ("mimeType contains 'image/'", ["HelloWorld.png"]),
        (f"mimeType != '{FOLDER}' and name = 'folder'", []),
        ("trashed = true", ["it's"]),
        ("trashed=false", [name for name in ALL if name != "it's"]),
        ("trashed != false", ["it's"]),
        ("not trashed = false", ["it's"]),
        ("starred = true", ["HelloWorld.png"]),
        ("'folder-id' in parents", ["back\\slash"]),
        ("not 'root' in parents", ["back\\slash"]),
        ("'ann@example.com' in owners", ALL),
        ("'me' in owners", ALL),
        ("'bob@example.com' in writers", []),
        ("modifiedTime < '2026-06-01T00:00:00'", ["plan.txt"]),
        ("modifiedTime <= '2026-01-01T00:00:00Z'", ["plan.txt"]),
        ("modifiedTime = '2026-01-01T01:00:00+01:00'", ["plan.txt"]),
        ("modifiedTime > '2026-01-01T00:00:00.000Z'", ALL[1:]),
        ("modifiedTime >= '2026-11-23'", []),
        ("createdTime != '2026-11-22T00:00:00'", []),
        ("properties has { key='colour' and value='red' }", ["mine"]),
        ("appProperties has {key='key' and value='v'}", ["mine"]),
        ("appProperties has { key='k' and value='w' }", []),
        ("(name = 'mine' or name = 'folder') and not mimeType contains 'text/'", ["folder"]),
    ],
)
def test_a_search_finds_what_it_says(query: str, names: list[str]) -> None:
    """
    Every kind of term, and the ways to join them.
    """
    assert names == found(query)


def test_and_binds_no_tighter_than_or() -> None:
    """
    A chain is read from left to right: what follows the last `and` holds for everything before it.
    """
    assert [] == found("name = 'mine' or name = 'folder' and trashed = true")
    assert ["it's", "mine"] == found("name = 'folder' and trashed = true or name = 'mine' or name = 'it\\'s'")


@pytest.mark.parametrize(
    "query",
    [
        "name",
        "name =",
        "name = plan",
        "name = 'plan",
        'name = "plan"',
        "name > 'a'",
        "title = 'x'",
        "trashed",
        "trashed = 'true'",
        "trashed = maybe",
        "trashed < true",
        "mimeType contains",
        "fullText = 'x'",
        "'x' in children",
        "'x' parents",
        "modifiedTime > 'yesterday'",
        "modifiedTime > 5",
        "name = 'a' name = 'b'",
        "name = 'a' and",
        "and name = 'a'",
        "(name = 'a'",
        "name = 'a')",
        "not",
        "properties has { key='a' }",
        "properties = 'a'",
        "name = 'a' ; name = 'b'",
    ],
)
def test_a_search_is_never_half_understood(query: str) -> None:
    """
    Anything that is not the language is refused as a whole.
    """
    with pytest.raises(QueryInvalid):
        found(query)


@given(st.text())
def test_any_name_can_be_searched_for_when_quoted(name: str) -> None:
    """
    A backslash before a quote or a backslash is all the escaping there is.
    """
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    condition = parse_query(f"name = '{quoted}'", project="ours", aliases={})

    assert condition(file(name))
    assert not condition(file(name + "x"))


@given(st.text(alphabet="name=trashdorit'\\ ()<>!{}", max_size=30))
def test_no_text_breaks_the_reader(text: str) -> None:
    """
    Garbage is refused by name, never by a stray exception.
    """
    with contextlib.suppress(QueryInvalid):
        parse_query(text, project="ours", aliases={})
