"""Reading JSON that may be hostile: the type before the value, and our own error for whatever is wrong."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantkeeper.errors import IssuerMisbehaved
from grantkeeper.protocol.message import (
    LARGEST_TEXT,
    HttpRequest,
    HttpResponse,
    json_object,
    retry_after,
    seconds,
    text,
    token,
)
from tests.ground.support import NOW, answer, vectors

BROKEN = {
    "nothing": b"",
    "half": b'{"a":',
    "a list": b"[]",
    "text": b'"a"',
    "a number": b"7",
    "null": b"null",
    "HTML": b"<!doctype html><title>502</title>",
    "not a number": b'{"a": NaN}',
    "infinity": b'{"a": Infinity}',
    "a number out of range": b'{"a": 1e400}',
    "a number of five thousand digits": b'{"a": ' + b"9" * 5000 + b"}",
    "Latin-1": b'{"a": "\xe9"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "half a surrogate pair": b'{"a": "\\ud800"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "two objects": b"{}{}",
    "a comment": b"{} // ours",
    "a deep nest": b"[" * 100_000,
    "a deep nest of objects": b'{"a":' * 100_000,
    "compressed": b"\x1f\x8b\x08\x00\x00",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_a_body_that_is_no_json_object_is_the_issuer_s_fault(body):
    """
    Whatever stands where an object should, it is `IssuerMisbehaved`, with the status for the log.
    """
    with pytest.raises(IssuerMisbehaved, match=r"\(418\)"):
        json_object(answer(body, status=418))


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(body):
    """
    Random bytes are an object or `IssuerMisbehaved`.
    """
    with suppress(IssuerMisbehaved):
        assert isinstance(json_object(answer(body)), dict)


@pytest.mark.parametrize("value", [None, "", 0, 1, True, 1.5, [], ["a"], {}, {"a": "b"}])
def test_text_is_text_and_not_empty(value):
    """
    A value of another type, or nothing, is refused by the parameter's name.
    """
    with pytest.raises(IssuerMisbehaved, match="the answer's scope is not text"):
        text({"scope": value}, "scope")


@pytest.mark.parametrize("value", ["a\nb", "a\x00", "\x7f", "a\u2028b", "\u202e", "\ud800"])
def test_text_has_no_characters_that_could_forge_a_line(value):
    """
    Control, direction and half characters never reach a log or a header.
    """
    with pytest.raises(IssuerMisbehaved, match="characters that do not belong there"):
        text({"error": value}, "error")


def test_text_has_a_longest_length():
    """
    The longest text is taken, one character more is not.
    """
    assert "a" * LARGEST_TEXT == text({"a": "a" * LARGEST_TEXT}, "a")
    with pytest.raises(IssuerMisbehaved, match="is too long"):
        text({"a": "a" * (LARGEST_TEXT + 1)}, "a")


@pytest.mark.parametrize("value", ["two words", "caf\u00e9", "tab\t"])
def test_a_token_can_stand_in_a_header(value):
    """
    Visible ASCII without a space, or it is refused.
    """
    with pytest.raises(IssuerMisbehaved, match="characters that do not belong there"):
        token({"access_token": value}, "access_token")


def test_a_token_is_what_google_sends():
    """
    Dots, slashes and dashes are part of tokens.
    """
    assert "ya29.a0-_~/+=" == token({"access_token": "ya29.a0-_~/+="}, "access_token")


@pytest.mark.parametrize("case", vectors("seconds.json"))
def test_seconds_are_a_positive_whole_number(case):
    """
    Numbers, and digits as text, within twenty years; everything else is refused in words.
    """
    body = json_object(answer('{"expires_in": ' + case["json"] + "}"))

    if "refused" in case:
        with pytest.raises(IssuerMisbehaved, match=f"expires_in {case['refused']}"):
            seconds(body, "expires_in")
    else:
        assert case["seconds"] == seconds(body, "expires_in")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_floats_that_json_does_not_know_are_no_seconds(value):
    """
    Should another decoder let them through, they are refused all the same.
    """
    with pytest.raises(IssuerMisbehaved, match="is not a number of seconds"):
        seconds({"expires_in": value}, "expires_in")


@pytest.mark.parametrize("case", vectors("retry_after.json"))
def test_retry_after_is_seconds_a_date_or_nothing(case):
    """
    Both forms of RFC 9110 are read; nonsense counts as absent.
    """
    headers = {} if case["value"] is None else {"retry-after": case["value"]}

    assert case["seconds"] == retry_after(answer(headers=headers), NOW)


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} [\d:]{1,9} [+-]?\d{0,6}"))
def test_no_retry_after_raises(value):
    """
    A header is a number of seconds that is not negative, or none at all, and never an exception.
    """
    asked = retry_after(answer(headers={"retry-after": value}), NOW)

    assert asked is None or asked >= 0


def test_messages_show_neither_body_nor_headers():
    """
    A request or an answer in a log is its address and status.
    """
    request = HttpRequest("POST", "https://issuer.test/token", b"secret", {"authorization": "secret"})

    assert "secret" not in repr(request)
    assert "secret" not in repr(HttpResponse(200, b"secret", {"set-cookie": "secret"}))
