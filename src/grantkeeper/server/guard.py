"""
What stands before every route, raw or routed: request ids, HTTPS, proxies, origins, limits per address.

These are functions of the ASGI scope's headers and no middleware, so that the
raw route of ``/v1/token`` and the routed ones pass the very same guard.
"""

import os
import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import count
from typing import Final

from starlette.types import Scope

from grantkeeper.backoff import Meter
from grantkeeper.errors import ForgedRequest, HttpsRequired, OriginNotAllowed, TooManyRequests
from grantkeeper.model import Client
from grantkeeper.ports import Clock

Headers = Mapping[bytes, bytes]
RawHeaders = Iterable[tuple[bytes, bytes]]

SANE_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")

UNKNOWN_KEYS: Final = (600, 60.0)
"""How many keys that are not in memory one address may try, in how many seconds."""

MOST_HOPS: Final = 32

Address = IPv4Address | IPv6Address


class RequestIds:
    """Names requests: the sender's own name where it is sane, else one that no other process uses."""

    def __init__(self) -> None:
        self._prefix = os.urandom(8).hex().encode()
        self._count = count(1)

    def of(self, headers: Headers) -> bytes:
        """The id of the request with these headers."""
        given = headers.get(b"x-request-id")
        if given is not None and SANE_REQUEST_ID.fullmatch(given):
            return given
        return b"%s-%x" % (self._prefix, next(self._count))


class Transport:
    """
    Whether a request came over HTTPS, and from whom.

    HTTPS itself is the business of a proxy in front. A request with any
    forwarding header counts as proxied: then its peer must be a trusted proxy
    that says ``https``. Without one only loopback may speak plainly.
    """

    def __init__(self, trusted: Iterable[object]) -> None:
        self._trusted: list[IPv4Network | IPv6Network] = [
            ip_network(str(proxy), strict=False) for proxy in trusted
        ]
        self._proxies: dict[str, bool] = {}

    def sender(self, scope: Scope, headers: Headers) -> str:
        """
        The address the request came from, for limits and the log.

        Raises:
            HttpsRequired: It crossed a network in the clear, or by a proxy that nobody named.
        """
        client = scope.get("client")
        host: str = client[0] if client else ""
        if not FORWARDING.isdisjoint(headers):
            return self._forwarded(host, scope["headers"])
        if host in LOOPBACK_NAMES or scope.get("scheme") == "https" or _is_loopback(host):
            return host
        raise HttpsRequired("this request crossed a network without HTTPS")

    def is_proxy(self, host: str) -> bool:
        """Whether *host* is one of the trusted proxies."""
        known = self._proxies.get(host)
        if known is None:
            address = _parse(host)
            known = address is not None and any(
                address.version == network.version and address in network for network in self._trusted
            )
            if len(self._proxies) > 10_000:
                self._proxies.clear()
            self._proxies[host] = known
        return known

    def _forwarded(self, peer: str, headers: RawHeaders) -> str:
        if not self.is_proxy(peer):
            raise HttpsRequired(
                "this request was forwarded by a proxy that GRANTKEEPER_TRUSTED_PROXIES does not name"
            )
        schemes, hops = _hops(headers)
        if not schemes or any(scheme != "https" for scheme in schemes):
            raise HttpsRequired("the proxy does not say that this request came over HTTPS")
        for hop in reversed(hops[-MOST_HOPS:]):
            address = _parse(hop)
            if address is None:
                break
            if not self.is_proxy(str(address)):
                return str(address)
        return peer


FORWARDING: Final = frozenset(
    {b"forwarded", b"forwarded-for", b"x-forwarded", b"x-real-ip", b"x-original-forwarded-for"}
    | {
        b"x-forwarded-" + what
        for what in (
            *(b"for", b"proto", b"protocol", b"scheme", b"ssl", b"host", b"port", b"by"),
            *(b"server", b"prefix", b"path", b"uri", b"method", b"client-cert"),
        )
    }
)
"""Headers by which a proxy gives itself away. A set and no pattern, for it is asked on every request."""

LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "::1", ""})
"""The usual spellings; the empty one is a Unix socket."""


def _parse(host: str) -> Address | None:
    try:
        address = ip_address(host.strip().strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _is_loopback(host: str) -> bool:
    address = _parse(host)
    return address is not None and address.is_loopback


def _hops(headers: RawHeaders) -> tuple[list[str], list[str]]:
    """All schemes and all addresses that forwarding headers tell, in their order."""
    schemes: list[str] = []
    hops: list[str] = []
    for name, raw in headers:
        value = raw.decode("latin-1")
        if name == b"x-forwarded-proto":
            schemes += [part.strip().lower() for part in value.split(",")]
        elif name == b"x-forwarded-for":
            hops += [_without_port(part) for part in value.split(",")]
        elif name == b"forwarded":
            for pair in value.replace(",", ";").split(";"):
                key, _, said = pair.strip().partition("=")
                said = said.strip('"')
                if key.lower() == "proto":
                    schemes.append(said.lower())
                elif key.lower() == "for":
                    hops.append(_without_port(said))
    return schemes, hops


def _without_port(node: str) -> str:
    node = node.strip()
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return node.partition(":")[0] if node.count(":") == 1 else node


class Origins:
    """Which web pages may call, and what a browser is told about it; never with credentials."""

    def __init__(self, clients: Mapping[str, Client]) -> None:
        self._any = frozenset(
            origin.encode() for client in clients.values() for origin in client.origins if origin != "null"
        )

    def configured(self, origin: bytes) -> bool:
        """Whether any client lists *origin*."""
        return origin in self._any

    def check(self, origins: list[bytes]) -> bytes | None:
        """
        The one ``Origin`` of a request, before it is known which client is meant.

        Raises:
            OriginNotAllowed: No client lists it, it is ``null``, or there are several.
        """
        if not origins:
            return None
        if len(origins) > 1 or not self.configured(origins[0]):
            raise OriginNotAllowed("no client lists the page's origin")
        return origins[0]

    @staticmethod
    def check_client(client: Client, origin: bytes | None) -> None:
        """
        Whether *client* lists the origin.

        Raises:
            OriginNotAllowed: Another client may, this one does not.
        """
        if origin is not None and origin.decode("latin-1") not in client.origins:
            raise OriginNotAllowed(f"the client {client.name} does not list the page's origin")


def cors(origin: bytes | None) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that let a page at *origin* read the answer; *origin* has been checked."""
    vary = (b"vary", b"Origin")
    if origin is None:
        return (vary,)
    return (
        vary,
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", b"X-Request-Id, Retry-After"),
    )


def preflight_headers(origin: bytes, method: str) -> tuple[tuple[bytes, bytes], ...]:
    """What a browser is told that asks before it posts."""
    return (
        *cors(origin),
        (b"access-control-allow-methods", method.encode()),
        (
            b"access-control-allow-headers",
            b"Content-Type, X-Requested-With, Idempotency-Key, X-Request-Id",
        ),
        (b"access-control-max-age", b"600"),
    )


def refuse_forged(headers: Headers) -> None:
    """
    Insist on the header that a cross-site form cannot send.

    Raises:
        ForgedRequest: It is missing or empty.
    """
    if not headers.get(b"x-requested-with", b"").strip():
        raise ForgedRequest("the header X-Requested-With is missing")


class Limits:
    """How often one address may do what costs us: signing in, and trying keys."""

    def __init__(self, clock: Clock, count: int, period: float) -> None:
        self._clock = clock
        self._sign_ins = Meter(count, period)
        self._keys = Meter(*UNKNOWN_KEYS)

    def sign_in(self, address: str) -> None:
        """
        Count a redemption, preflight or connect.

        Raises:
            TooManyRequests: This address must wait.
        """
        self._take(self._sign_ins, address, "sign-ins")

    def unknown_key(self, address: str) -> None:
        """
        Count a caller key that must be looked up in the store.

        Raises:
            TooManyRequests: This address must wait.
        """
        self._take(self._keys, address, "unknown caller keys")

    def _take(self, meter: Meter, address: str, what: str) -> None:
        wait = meter.take(_household(address), self._clock.monotonic())
        if wait > 0:
            raise TooManyRequests(f"too many {what} from this address", retry_after=wait)


def _household(address: str) -> str:
    """Who shares a limit: an IPv4 address, or the /64 that an IPv6 host can choose from at will."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, 64), strict=False))
    return address
