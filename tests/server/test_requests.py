"""Reading bodies: types before values, parameters by name, values never quoted."""

from typing import Any
from urllib.parse import urlencode

import pytest

from grantkeeper.errors import InvalidRequest, UnsupportedMediaType
from grantkeeper.server.bodies import RedeemBody, TokenBody
from grantkeeper.server.grants import ListQuery
from grantkeeper.server.requests import idempotency_key, parse_body, parse_query

JSON = {b"content-type": b"application/json"}
FORM = {b"content-type": b"application/x-www-form-urlencoded"}


def complaint(raw: bytes, headers: dict[bytes, bytes] = JSON, kind: type[Any] = TokenBody) -> str:
    with pytest.raises(InvalidRequest) as caught:
        parse_body(kind, raw, headers)
    return caught.value.text


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b'{"min_ttl": true}', "min_ttl"),
        (b'{"min_ttl": "60"}', "min_ttl"),
        (b'{"min_ttl": 60.5}', "min_ttl"),
        (b'{"min_ttl": -1}', "min_ttl"),
        (b'{"min_ttl": 3601}', "min_ttl"),
        (b'{"min_ttl": 123456789012345678901234567890}', "min_ttl"),
        (b'{"grant": 1}', "grant"),
        (b'{"grant": ["x"]}', "grant"),
        (b'{"grant": ""}', "grant"),
        (b'{"user": {"$ne": null}}', "user"),
        (b'{"user": "a\\u0000b"}', "user"),
        (b'{"scopes": {"a": 1}}', "scopes"),
        (b'{"scopes": ["a", 1]}', "scopes"),
        (b'{"rejected": "short"}', "rejected"),
    ],
)
def test_a_wrong_value_is_refused_by_name(raw: bytes, name: str) -> None:
    """
    The sentence begins with the parameter.
    """
    assert complaint(raw).startswith(name)


def test_a_value_is_never_quoted() -> None:
    """
    It may be a secret in the wrong field.
    """
    assert "hunter2" not in complaint(b'{"min_ttl": "hunter2"}') + complaint(b'{"rejected": "hunter2"}')


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'"text"',
        b"null",
        b"{",
        b"{} {}",
        b"\xff\xfe",
        b'{"grant": "\xff"}',
        b'{"grant": "\\ud800"}',
        b"\xef\xbb\xbf{}",
        b'{"x": ' + b"[" * 20_000,
        b"grant=1",
    ],
)
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    """
    Empty, truncated, wrongly encoded, nested without end: a sentence and no traceback.
    """
    assert complaint(raw)


def test_a_missing_parameter_is_named() -> None:
    """
    The caller learns which.
    """
    assert "code is missing" == complaint(b"{}", kind=RedeemBody)


def test_unknown_parameters_are_ignored() -> None:
    """
    RFC 6749 section 3.1, so that a newer app can talk to an older service.
    """
    assert "g" == parse_body(TokenBody, b'{"grant": "g", "new": [1]}', JSON).grant


def test_a_form_reads_like_json() -> None:
    """
    Numbers are digits, scopes one text, and an empty value is none.
    """
    raw = urlencode({"grant": "g", "min_ttl": "300", "scopes": "a b", "user": ""}).encode()
    body = parse_body(TokenBody, raw, FORM)

    assert ("g", 300, "a b", None) == (body.grant, body.min_ttl, body.scopes, body.user)


@pytest.mark.parametrize("value", ["true", "6e1", "60.0", "-1", "0x10", "٣", "1" * 30])
def test_a_number_in_a_form_has_digits_only(value: str) -> None:
    """
    And stays in range.
    """
    assert complaint(urlencode({"min_ttl": value}).encode(), FORM).startswith("min_ttl")


def test_a_word_in_a_form_stays_a_word() -> None:
    """
    A user may be called null, true or 7.
    """
    assert ["null", "true", "7"] == [
        parse_body(TokenBody, f"user={name}".encode(), FORM).user for name in ("null", "true", "7")
    ]


def test_a_repeated_form_parameter_is_refused() -> None:
    """
    Two parties could read two different ones (RFC 6749 section 3.2).
    """
    assert "code was sent more than once" == complaint(b"code=a&code=b", FORM, RedeemBody)
    assert "a parameter was sent more than once" == complaint(b"code=a&%3Cb%3E=1&%3Cb%3E=2", FORM, RedeemBody)


@pytest.mark.parametrize(
    "raw, named",
    [
        (b'{"code":"a","code":"b"}', "code"),
        (b'{"code" : "a", "client":"b", "c\\u006fde":"b"}', "code"),
        (b'{"code":"a","<b>":1,"<b>":2}', "a parameter"),
        (b'{"code":"a","more":{"x":1,"x":2}}', "a parameter"),
    ],
)
def test_a_repeated_name_in_json_is_refused(raw: bytes, named: str) -> None:
    """
    As in a form, however the name is spelt.
    """
    assert f"{named} was sent more than once" == complaint(raw, JSON, RedeemBody)


@pytest.mark.parametrize("raw", [b'{"code":"\\"code\\":"}', b'{"more":{"code":1},"code":"c\\u0041"}'])
def test_what_only_looks_like_a_repeat_is_read(raw: bytes) -> None:
    """
    A text may quote a name, and an object inside has names of its own.
    """
    assert parse_body(RedeemBody, raw, JSON).code in ('"code":', "cA")


@pytest.mark.parametrize("raw", [b"code=%ff", b"code=\xc3\xa4", b"&".join([b"a=1"] * 101)])
def test_a_hostile_form_is_refused(raw: bytes) -> None:
    """
    Not UTF-8, not encoded, or hundreds of parameters.
    """
    assert complaint(raw, FORM, RedeemBody)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"content-type": b"text/plain"},
        {b"content-type": b"multipart/form-data; boundary=x"},
        {b"content-type": b"application/json; charset=utf-16"},
        {b"content-type": b"application/json", b"content-encoding": b"gzip"},
    ],
)
def test_another_media_type_is_unsupported(headers: dict[bytes, bytes]) -> None:
    """
    A cross-site form can send text/plain without asking first.
    """
    with pytest.raises(UnsupportedMediaType):
        parse_body(TokenBody, b"{}", headers)


@pytest.mark.parametrize(
    "value", [b"application/json; charset=utf-8", b"Application/JSON", b'application/json;charset="UTF-8"']
)
def test_spellings_of_json_are_one(value: bytes) -> None:
    """
    Media types are compared without case, and UTF-8 may be said.
    """
    assert parse_body(TokenBody, b"{}", {b"content-type": value}) == TokenBody()


def test_a_query_reads_like_a_form() -> None:
    """
    With defaults.
    """
    assert ListQuery(cursor="c", limit=7) == parse_query(ListQuery, b"cursor=c&limit=7")
    assert 100 == parse_query(ListQuery, b"").limit


@pytest.mark.parametrize(
    ("query", "name"),
    [(b"limit=0", "limit"), (b"limit=x", "limit"), (b"state=dead", "state"), (b"user=a&user=b", "user")],
)
def test_a_wrong_query_is_refused_by_name(query: bytes, name: str) -> None:
    """
    As in bodies.
    """
    with pytest.raises(InvalidRequest) as caught:
        parse_query(ListQuery, query)
    assert caught.value.text.startswith(name)


@pytest.mark.parametrize("size", [22, 255])
def test_an_idempotency_key_of_right_size_is_taken(size: int) -> None:
    """
    Both ends of the range.
    """
    assert "k" * size == idempotency_key([b"k" * size])


@pytest.mark.parametrize(
    "values", [[b"k" * 21], [b"k" * 256], [b"k" * 21 + b" "], [b"\xff" * 30], [b""], [b"k" * 30] * 2]
)
def test_another_idempotency_key_is_refused(values: list[bytes]) -> None:
    """
    Short ones could be guessed, and two would be two.
    """
    with pytest.raises(InvalidRequest) as caught:
        idempotency_key(values)
    assert "Idempotency-Key" in caught.value.text
