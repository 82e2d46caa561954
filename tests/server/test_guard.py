"""What stands before every route."""

from typing import Any

import pytest

from grantkeeper.errors import HttpsRequired, OriginNotAllowed, TooManyRequests
from grantkeeper.server.guard import Limits, Origins, RequestIds, Transport
from tests.server.fake_core import DEFAULT, PAGE, SECOND, HandClock

PROXY = "10.0.0.7"


def sender(
    peer: str | None, headers: dict[str, str], trusted: tuple[str, ...] = (), scheme: str = "http"
) -> str:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope: dict[str, Any] = {
        "type": "http",
        "client": None if peer is None else (peer, 1),
        "scheme": scheme,
        "headers": raw,
    }
    return Transport(trusted).sender(scope, dict(raw))


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1", None])
def test_loopback_may_speak_plainly(peer: str | None) -> None:
    """
    Nobody else is on that wire; a Unix socket counts too.
    """
    assert (peer or "") == sender(peer, {})


@pytest.mark.parametrize("peer", ["192.0.2.1", "10.0.0.7", "2001:db8::1", "testclient"])
def test_others_may_not(peer: str) -> None:
    """
    A request over a network in the clear is refused, a trusted proxy's own too if it does not say https.
    """
    with pytest.raises(HttpsRequired):
        sender(peer, {}, trusted=(PROXY,))


def test_a_server_that_speaks_tls_itself_is_enough() -> None:
    """
    Another ASGI server may do TLS.
    """
    assert "192.0.2.1" == sender("192.0.2.1", {}, scheme="https")


@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "Forwarded",
        "X-Real-IP",
    ],
)
def test_a_forwarding_header_needs_a_trusted_proxy_even_on_loopback(header: str) -> None:
    """
    A proxy on this machine that nobody named may be forwarding plain HTTP from anywhere.
    """
    with pytest.raises(HttpsRequired) as caught:
        sender("127.0.0.1", {header: "https", "X-Forwarded-Proto": "https"})

    assert "GRANTKEEPER_TRUSTED_PROXIES" in caught.value.text


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "192.0.2.1"},
        {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "http"},
        {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https, http"},
        {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": ""},
        {"Forwarded": "for=192.0.2.1;proto=http"},
        {"Forwarded": "for=192.0.2.1"},
    ],
)
def test_a_trusted_proxy_must_say_https(headers: dict[str, str]) -> None:
    """
    Silence is not https, and one plain hop is enough to refuse.
    """
    with pytest.raises(HttpsRequired):
        sender(PROXY, headers, trusted=(PROXY,))


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({"X-Forwarded-For": "192.0.2.1"}, "192.0.2.1"),
        ({"X-Forwarded-For": "6.6.6.6, 192.0.2.1"}, "192.0.2.1"),
        ({"X-Forwarded-For": "6.6.6.6, 192.0.2.1, 10.0.0.9"}, "192.0.2.1"),
        ({"X-Forwarded-For": "192.0.2.1:4711"}, "192.0.2.1"),
        ({"X-Forwarded-For": "[2001:db8::5]:4711"}, "2001:db8::5"),
        ({"X-Forwarded-For": "2001:db8::5"}, "2001:db8::5"),
        ({"X-Forwarded-For": "::ffff:192.0.2.1"}, "192.0.2.1"),
        ({"Forwarded": 'for="[2001:db8::5]:1";proto=https'}, "2001:db8::5"),
        ({"X-Forwarded-For": "nonsense"}, PROXY),
        ({"X-Forwarded-For": ""}, PROXY),
        ({}, PROXY),
    ],
)
def test_the_sender_is_the_right_most_stranger(headers: dict[str, str], address: str) -> None:
    """
    What stands further left, the sender may have written himself.
    """
    told = {"X-Forwarded-Proto": "https", **headers}

    assert address == sender(PROXY, told, trusted=("10.0.0.0/24",))


@pytest.mark.parametrize("given", ["abc", "A-b_c.9", "x" * 128])
def test_a_sane_request_id_is_kept(given: str) -> None:
    """
    So that a request can be followed through several services.
    """
    assert given.encode() == RequestIds().of({b"x-request-id": given.encode()})


@pytest.mark.parametrize("given", [b"", b"x" * 129, b"a b", b"a\nb", b"<script>", b"\xff"])
def test_any_other_request_id_is_replaced(given: bytes) -> None:
    """
    It is written into logs and headers.
    """
    ids = RequestIds()
    made = {ids.of({b"x-request-id": given}), ids.of({}), RequestIds().of({})}

    assert 3 == len(made)
    assert given not in made


@pytest.mark.parametrize("origins", [[b"null"], [b"https://evil.example"], [PAGE.encode() + b"/"], [b""]])
def test_a_foreign_origin_is_refused(origins: list[bytes]) -> None:
    """
    `null`, another page, and a spelling that is not the origin's.
    """
    with pytest.raises(OriginNotAllowed):
        Origins({"default": DEFAULT}).check(origins)


def test_two_origins_are_refused() -> None:
    """
    No browser sends two.
    """
    with pytest.raises(OriginNotAllowed):
        Origins({"default": DEFAULT}).check([PAGE.encode(), PAGE.encode()])


def test_an_origin_of_another_client_is_refused() -> None:
    """
    It must be the named client's.
    """
    origin = Origins({"default": DEFAULT, "second": SECOND}).check([PAGE.encode()])

    assert PAGE.encode() == origin
    with pytest.raises(OriginNotAllowed):
        Origins.check_client(SECOND, origin)


def test_a_client_cannot_list_null() -> None:
    """
    A sandboxed frame of anybody's sends it.
    """
    from dataclasses import replace

    with pytest.raises(OriginNotAllowed):
        Origins({"default": replace(DEFAULT, origins=frozenset({"null"}))}).check([b"null"])


def test_a_limit_is_per_address_and_says_how_long() -> None:
    """
    One sender's flood is nobody else's.
    """
    clock = HandClock()
    limits = Limits(clock, 3, 60.0)
    for _ in range(3):
        limits.sign_in("192.0.2.1")
    limits.sign_in("192.0.2.2")

    with pytest.raises(TooManyRequests) as caught:
        limits.sign_in("192.0.2.1")
    wait = caught.value.retry_after
    assert wait is not None
    assert 55.0 <= wait <= 65.0

    clock.seconds += wait
    limits.sign_in("192.0.2.1")


def test_addresses_of_one_ipv6_network_share_a_limit() -> None:
    """
    A host has 2^64 of them to choose from.
    """
    limits = Limits(HandClock(), 1, 60.0)
    limits.sign_in("2001:db8::1")

    with pytest.raises(TooManyRequests):
        limits.sign_in("2001:db8::2")
    limits.sign_in("2001:db8:0:1::1")
