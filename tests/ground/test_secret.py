"""A secret is never text: every way that Python has to show a value is tried."""

import contextlib
import copy
import dataclasses
import io
import json
import logging
import pickle
import pprint
import string
import sys
import traceback

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantkeeper.secret import (
    AccessToken,
    AuthorizationCode,
    CallerKey,
    ClientSecret,
    CodeVerifier,
    IdToken,
    RefreshToken,
    Secret,
    SessionToken,
)

KINDS = [
    AccessToken,
    AuthorizationCode,
    CallerKey,
    ClientSecret,
    CodeVerifier,
    IdToken,
    RefreshToken,
    SessionToken,
]

MARKER = "GKMARK-do-not-show"


@dataclasses.dataclass
class Holder:
    """A record with a secret in it, as anybody might write one."""

    secret: Secret


def test_every_kind_is_tried():
    """
    A new kind of secret is covered here, or this test says so.
    """
    assert {kind.__name__ for kind in KINDS} == {kind.__name__ for kind in Secret.__subclasses__()}


def log_line(secret):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger(f"{__name__}.shown")
    logger.propagate = False
    logger.addHandler(handler)
    logger.error("%s %r", secret, secret)
    logger.removeHandler(handler)
    return stream.getvalue()


def shown_in_a_traceback(secret):
    try:
        held = secret
        raise ValueError(held)
    except ValueError:
        kind, error, where = sys.exc_info()
        assert kind is not None
        assert error is not None
        return "".join(traceback.TracebackException(kind, error, where, capture_locals=True).format())


def printed(secret):
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        print(secret, [secret], {"a": secret})
    return stream.getvalue()


SHOWINGS = {
    "repr": repr,
    "str": str,
    "ascii": ascii,
    "format": format,
    "format with a width": lambda secret: format(secret, ">40"),
    "f-string": lambda secret: f"{secret}",
    "f-string with repr": lambda secret: f"{secret!r}",
    "f-string with equals": lambda secret: f"{secret=}",
    "f-string with a spec": lambda secret: f"{secret:.3}",
    "str.format": "{}".format,
    "percent s": "%s".__mod__,
    "percent r": "%r".__mod__,
    "percent with a width": "%.30s".__mod__,
    "template": lambda secret: string.Template("$secret").substitute(secret=secret),
    "list": lambda secret: str([secret]),
    "dict": lambda secret: str({"secret": secret}),
    "dataclass": lambda secret: repr(Holder(secret)),
    "asdict": lambda secret: str(dataclasses.asdict(Holder(secret))),
    "replace": lambda secret: repr(dataclasses.replace(Holder(secret))),
    "pprint": pprint.pformat,
    "print": printed,
    "log line": log_line,
    "exception": lambda secret: repr(ValueError(secret)),
    "traceback with locals": shown_in_a_traceback,
    "json with default=str": lambda secret: json.dumps({"secret": secret}, default=str),
    "json with default=repr": lambda secret: json.dumps({"secret": secret}, default=repr),
    "copy": lambda secret: repr(copy.copy(secret)),
    "deepcopy": lambda secret: repr(copy.deepcopy({"secret": secret})),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("show", SHOWINGS.values(), ids=SHOWINGS.keys())
def test_whatever_shows_a_secret_shows_stars(show, kind):
    """
    Text made from a secret has the name of its kind and four stars, and nothing of the value.
    """
    shown = show(kind(MARKER))

    assert MARKER not in shown
    assert "****" in shown


REFUSALS = {
    "pickle": pickle.dumps,
    "pickle, protocol 0": lambda secret: pickle.dumps(secret, 0),
    "pickle in a record": lambda secret: pickle.dumps(Holder(secret)),
    "reduce": lambda secret: secret.__reduce_ex__(2),
    "getstate": lambda secret: secret.__getstate__(),
    "json": json.dumps,
    "json in a dict": lambda secret: json.dumps({"secret": secret}),
    "msgspec json": msgspec.json.encode,
    "msgspec msgpack": msgspec.msgpack.encode,
    "msgspec builtins": msgspec.to_builtins,
    "msgspec of a record": lambda secret: msgspec.json.encode(Holder(secret)),
    "bytes": bytes,
    "len": len,
    "bool": bool,
    "iteration": list,
    "hash": hash,
    "set": lambda secret: {secret},
    "order": lambda secret: sorted([secret, secret]),
    "sum": lambda secret: secret + secret,
    "join": lambda secret: "".join([secret]),
    "percent d": "%d".__mod__,
    "vars": vars,
}


@pytest.mark.parametrize("use", REFUSALS.values(), ids=REFUSALS.keys())
def test_what_a_secret_cannot_do_is_a_type_error_that_tells_nothing(use):
    """
    A secret does not pickle, convert, hash, order or tell its length, and the refusal does not show it.
    """
    with pytest.raises(TypeError) as caught:
        use(RefreshToken(MARKER))

    assert MARKER not in "".join(traceback.format_exception(caught.value))


def test_reveal_gives_the_value():
    """
    The one visible way gives back exactly what went in.
    """
    assert MARKER == RefreshToken(MARKER).reveal()


def test_a_copy_is_the_same_object():
    """
    Copying a record does not multiply its secret in memory.
    """
    secret = RefreshToken(MARKER)

    assert secret is copy.copy(secret)
    assert secret is copy.deepcopy([secret])[0]


@pytest.mark.parametrize("value", [None, b"bytes", 7, ["text"], RefreshToken("inside")])
def test_only_text_becomes_a_secret(value):
    """
    Anything but text is a TypeError that names the type and not the value.
    """
    with pytest.raises(TypeError, match=type(value).__name__) as caught:
        AccessToken(value)

    assert "inside" not in str(caught.value)


@given(st.text(), st.text())
def test_secrets_are_equal_when_their_values_are(one, other):
    """
    Equality is that of the values, halves of surrogate pairs among them.
    """
    assert (one == other) == (RefreshToken(one) == RefreshToken(other))
    assert RefreshToken(one) == RefreshToken(one)


@given(st.text(alphabet=st.characters(categories=["Cs"]), min_size=1))
def test_text_that_has_no_bytes_is_still_a_secret(value):
    """
    Lone surrogates compare and print like anything else.
    """
    assert RefreshToken(value) == RefreshToken(value)
    assert "RefreshToken(****)" == repr(RefreshToken(value))


def test_kinds_are_not_each_other():
    """
    An access token is not the refresh token of the same text, nor that text.
    """
    assert AccessToken("same") != RefreshToken("same")
    assert AccessToken("same") != "same"


def test_a_secret_has_no_room_for_more():
    """
    No kind has a ``__dict__``, where `vars` and debuggers would look.
    """
    for kind in KINDS:
        assert not hasattr(kind("x"), "__dict__")
