"""The partial-response language."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantkeeper.emulator.drive_fields import FieldsInvalid, parse_fields, select
from grantkeeper.emulator.drive_schemas import shape_of

LIST = {
    "kind": "drive#fileList",
    "nextPageToken": "t",
    "files": [
        {
            "id": "1",
            "name": "a",
            "owners": [{"me": True, "displayName": "Ann"}],
            "appProperties": {"x": "1", "y": "2"},
        },
        {"id": "2", "name": "b"},
    ],
}


def chosen(fields: str) -> dict[str, object]:
    return select(LIST, parse_fields(fields, shape_of("FileList")))


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ("kind", {"kind": "drive#fileList"}),
        ("*", LIST),
        ("kind,*", LIST),
        ("files", {"files": LIST["files"]}),
        ("files/id", {"files": [{"id": "1"}, {"id": "2"}]}),
        (
            "nextPageToken,files(id,name)",
            {"nextPageToken": "t", "files": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}]},
        ),
        ("nextPageToken, files(id, name)", chosen("nextPageToken,files(id,name)")),
        ("files(id),files(name)", chosen("files(id,name)")),
        ("files/id,files/name", chosen("files(id,name)")),
        ("files,files/id", {"files": LIST["files"]}),
        ("files(*)", {"files": LIST["files"]}),
        ("files/*", {"files": LIST["files"]}),
        ("files(owners/displayName)", {"files": [{"owners": [{"displayName": "Ann"}]}, {}]}),
        ("files(owners(me),id)", {"files": [{"owners": [{"me": True}], "id": "1"}, {"id": "2"}]}),
        ("files/owners/me", {"files": [{"owners": [{"me": True}]}, {}]}),
        ("files/appProperties/x", {"files": [{"appProperties": {"x": "1"}}, {}]}),
        ("files(webViewLink)", {"files": [{}, {}]}),
        ("incompleteSearch", {}),
        ("*/id", {"files": [{"id": "1"}, {"id": "2"}]}),
    ],
)
def test_fields_choose_parts_of_an_answer(fields: str, answer: dict[str, object]) -> None:
    """
    Paths, groups, and the star.
    """
    assert answer == chosen(fields)


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ("foo", "foo"),
        ("files(id,foo)", "foo"),
        ("files/foo", "foo"),
        ("kind/id", "kind/id"),
        ("kind(id)", "kind(id)"),
        ("files(id", "files(id"),
        ("files)", ")"),
        ("files,,kind", ",kind"),
        (",", ","),
        ("files()", ")"),
        ("files//id", "/id"),
        ("id", "id"),
    ],
)
def test_a_misspelt_field_is_named(fields: str, part: str) -> None:
    """
    The error repeats the part that names nothing.
    """
    with pytest.raises(FieldsInvalid) as caught:
        chosen(fields)

    assert part == caught.value.part
    assert f"Invalid field selection {part}" == str(caught.value)


@given(st.text(alphabet="filesdnamekind/,()* ", max_size=25))
def test_no_text_breaks_the_reader(text: str) -> None:
    """
    Every text is either a selection, and then chooses from the answer, or refused.
    """
    try:
        answer = chosen(text)
    except FieldsInvalid:
        return
    assert answer.keys() <= LIST.keys()
