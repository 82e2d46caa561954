"""What stands in DBOS's tables can be read, and comes back as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantkeeper.adapters.dbos_values import read, serializer, written


@given(st.binary())
def test_bytes_come_back_as_they_were(value):
    """
    And the text has no zero, which PostgreSQL would refuse.
    """
    assert value == read(written(value))
    assert "\0" not in written(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b'{"id": 7}', 't{"id": 7}'),
        ("ä".encode(), "tä"),
        (b"", "t"),
        (b"\0", "bAA=="),
        (b"\xff", "b/w=="),
        ({"args": [], "kwargs": {}}, 'j{"args": [], "kwargs": {}}'),
        (None, "jnull"),
    ],
)
def test_values_are_spelled_readably(value, text):
    """
    Text stays text; only what is none is put in base64.
    """
    assert text == written(value)
    assert value == read(text)


def test_of_an_error_only_its_kind_is_written():
    """
    Its text may quote a user's data.
    """
    assert 'j"ValueError"' == serializer().serialize(ValueError("secret"))
    assert "ValueError" == serializer().deserialize('j"ValueError"')
