"""Where a user's token may go, and how a refused one is named."""

import pytest

from grantkeeper.protocol.api_request import SAFE_METHODS, is_googles
from grantkeeper.protocol.rejected import fingerprint
from grantkeeper.secret import AccessToken


@pytest.mark.parametrize(
    "host",
    [
        "www.googleapis.com",
        "photoslibrary.googleapis.com",
        "drive.google.com",
        "lh3.googleusercontent.com",
        "video-downloads.googleusercontent.com",
    ],
)
def test_googles_own_hosts_may_see_a_token(host: str) -> None:
    """
    APIs, and those that serve photos and videos.
    """
    assert is_googles(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "googleapis.com",
        "evilgoogleapis.com",
        "www.googleapis.com.evil.example",
        "34.1.2.3.bc.googleusercontent.com",
        "x-8000-colab.googleusercontent.com",
        "evil.lh3.googleusercontent.com",
        "WWW.GOOGLEAPIS.COM",
        "www.googleapis.com\n",
    ],
)
def test_no_other_host_may(host: str) -> None:
    """
    Not one that only looks so, nor machines and notebooks of anybody's, nor what is spelled in another way.
    """
    assert not is_googles(host)


def test_what_creates_is_not_sent_twice() -> None:
    """
    A POST may have been done.
    """
    assert "POST" not in SAFE_METHODS and "PATCH" not in SAFE_METHODS


def test_a_refused_token_is_named_by_its_digest() -> None:
    """
    base64url of SHA-256, unpadded (the vector is that of RFC 7636 appendix B).
    """
    verifier = AccessToken("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")

    assert "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" == fingerprint(verifier)
