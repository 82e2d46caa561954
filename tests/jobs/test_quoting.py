"""What is left of an error's text, and of all that hangs on it, where it is written down."""

from traceback import format_exception

import pytest

from grantkeeper.jobs.quoting import quotable, tellable
from grantkeeper.secret import AccessToken


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("the disk is full", "the disk is full"),
        ("{'Authorization': 'Bearer ab.c-d_e/f=='}", "{'Authorization': 'Bearer ****'}"),
        ('{"authorization":"bearer abc"}', '{"authorization":"bearer ****"}'),
        ("a token ya29.a0Af_x-y.z, and more", "a token ****, and more"),
        ("refresh_token=1//0gABC-d_e&x=1", "refresh_token=****&x=1"),
        ("GET /?access_token=abc&alt=json: 403", "GET /?access_token=****&alt=json: 403"),
        ("PUT https://x/upload?upload_id=ABPtcP&a=b", "PUT https://x/upload?upload_id=****&a=b"),
        ("given was opaque-1", "given was ****"),
        ("12345 // 1//", "12345 // 1//"),
    ],
)
def test_what_opens_something_becomes_stars(text: str, left: str) -> None:
    """
    By its form, or because it was given out; all else stays as it is.
    """
    assert left == quotable(text, [AccessToken("opaque-1")])


def test_an_error_with_nothing_to_hide_is_told_as_it_is() -> None:
    """
    With what it was raised from.
    """
    error = OSError("the disk is full")

    assert error is tellable(error, [AccessToken("opaque-1")])


def test_a_log_that_prints_the_whole_chain_prints_no_token() -> None:
    """
    The kind, the place and the rest of the text are there.
    """
    token = "opaque-1"
    try:
        try:
            raise ValueError(f"sent {token}")
        except ValueError as error:
            raise OSError(f"refused Bearer {token}") from error
    except OSError as error:
        told = tellable(error, [AccessToken(token)])
    printed = "".join(format_exception(told))

    assert token not in printed
    assert "OSError: refused Bearer ****" in printed
    assert "test_a_log_that_prints_the_whole_chain" in printed
