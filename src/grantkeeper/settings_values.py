"""
Reading the value of one setting: text or TOML in, the typed value out.

A parser raises `ValueError` with the rest of a sentence that begins with the
setting's name ("must be …"), and never quotes the value.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from grantkeeper.backoff import CondemnLimit
from grantkeeper.protocol.discovery import is_loopback, is_safe_url, split_url

Parser = Callable[[object, Path], Any]
"""From a raw value and the directory that relative paths start from."""

Network = IPv4Network | IPv6Network

PERIODS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


@dataclass(frozen=True, slots=True)
class Rate:
    """*count* events in *period* seconds."""

    count: int
    period: float


def text(value: object, directory: Path) -> str:
    """One line of text."""
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text")
    if not value.isprintable():
        raise ValueError("must be one line of visible characters")
    return value.strip()


def texts(value: object, directory: Path) -> tuple[str, ...]:
    """A list, in TOML, or one text with commas between."""
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
        raise ValueError("must be a list of texts, or one text with commas between")
    return tuple(text(one, directory) for one in value)


def path(value: object, directory: Path) -> Path:
    """A path; relative ones start where the settings lie."""
    try:
        return (directory / Path(text(value, directory)).expanduser()).absolute()
    except (RuntimeError, ValueError):
        raise ValueError("must be a path") from None


def database_url(value: object, directory: Path) -> str:
    """The URL of a database: PostgreSQL's as it is, a SQLite file's with its path made absolute."""
    url = text(value, directory)
    if re.match(r"postgres(ql)?(\+\w+)?:", url):
        return postgres_url(url, directory)
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    name = unquote(parts.path)[1:]
    if parts.scheme != "sqlite" or parts.netloc or parts.query or parts.fragment or not name.strip("/"):
        raise ValueError(
            "must be of the form sqlite:///grants.db, sqlite:////absolute/path/grants.db or "
            "postgresql://user:password@host/database"
        )
    if name == ":memory:":
        raise ValueError("names a database in memory, which would forget every grant")
    return "sqlite:///" + quote(str((directory / name).absolute()))


def database_file(url: str) -> Path | None:
    """The file in what `database_url` returned; ``None`` where it is a server."""
    return Path(unquote(url.removeprefix("sqlite:///"))) if url.startswith("sqlite:") else None


def kms_key(value: object, directory: Path) -> str:
    """The URI of a KMS key; refused, because a keys.json believed to be sealed must not lie open."""
    text(value, directory)
    raise ValueError(
        "asks for a keys.json sealed by a KMS: that comes with the extras `gcpkms`, `awskms` and `vault` in "
        "a later release; leave it out and guard the file until then"
    )


def postgres_url(value: object, directory: Path) -> str:
    """A URL of PostgreSQL, as libpq knows it; of several names of the scheme the usual one."""
    url = text(value, directory)
    found = re.match(r"postgres(?:ql)?://(.+)", url)
    if found is None:
        raise ValueError("must be of the form postgresql://user:password@host/database")
    return f"postgresql://{found[1]}"


def issuer(value: object, directory: Path) -> str:
    """An issuer's identifier (RFC 8414 section 2), kept to the letter."""
    url = text(value, directory)
    if not is_safe_url(url) or "?" in url:
        raise ValueError("must be an https URL without query or fragment; plain http only on loopback")
    return url


def own_url(value: object, directory: Path) -> str:
    """An address of a service of ours, without the slash at its end."""
    url = text(value, directory)
    if not is_safe_url(url) or "?" in url:
        raise ValueError("must be an https URL without query or fragment; plain http only on loopback")
    return url.rstrip("/")


def origin(value: object, directory: Path) -> str:
    """A web origin as browsers write it (RFC 6454 6.2)."""
    parts = split_url(text(value, directory))
    if parts is None or parts.path not in ("", "/") or parts.query:
        raise ValueError("must be origins, such as https://app.example.com")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError("must be https origins; plain http only on loopback")
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    standard = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{shown}" + ("" if parts.port in (None, standard) else f":{parts.port}")


def return_address(value: object, directory: Path) -> str:
    """Where a browser may be sent back: a web page, or an app by its private-use scheme (RFC 8252 7.1)."""
    url = text(value, directory)
    private = re.fullmatch(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+:/[!-~]*", url)
    if not is_safe_url(url) and private is None:
        raise ValueError("must be https URLs, http on loopback, or addresses like com.example.app:/signed-in")
    return url


def redirect_uri(value: object, directory: Path) -> str:
    """A registered redirect URI."""
    url = text(value, directory)
    if not is_safe_url(url):
        raise ValueError("must be https URLs without fragment; plain http only on loopback")
    return url


def networks(value: object, directory: Path) -> tuple[Network, ...]:
    """Addresses and networks in CIDR notation."""
    try:
        return tuple(ip_network(one) for one in texts(value, directory))
    except ValueError:
        raise ValueError(
            "must be addresses or networks, such as 10.0.0.7 or 10.0.0.0/8 with no bits set after the prefix"
        ) from None


def hosts(value: object, directory: Path) -> frozenset[str]:
    """Exact host names."""
    names = frozenset(one.lower() for one in texts(value, directory))
    label = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
    if not all(re.fullmatch(rf"{label}(\.{label})+", name) for name in names):
        raise ValueError("must be exact host names, without scheme, port or wildcard")
    return names


def rate(value: object, directory: Path) -> Rate:
    """A count a period."""
    found = re.fullmatch(r"([1-9][0-9]{0,8})\s*/\s*(second|minute|hour|day)", text(value, directory))
    if found is None:
        raise ValueError("must be a count, a slash and second, minute, hour or day, such as 120/minute")
    return Rate(int(found[1]), PERIODS[found[2]])


def condemn_limit(value: object, directory: Path) -> CondemnLimit:
    """A number of grants and a share of refreshes."""
    parts = [str(one) for one in value] if isinstance(value, (list, tuple)) else texts(value, directory)
    found = re.fullmatch(r"([1-9][0-9]{0,8})\s*,\s*(0?\.[0-9]{1,9}|1(?:\.0*)?)", ",".join(parts).strip())
    if found is not None and float(found[2]) > 0:
        return CondemnLimit(int(found[1]), float(found[2]))
    raise ValueError("must be a number of grants and a share of refreshes between 0 and 1, such as 50,0.2")


def count(value: object, directory: Path) -> int:
    """A whole number from 0."""
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,9}", str(value).strip()):
        raise ValueError("must be a whole number, 0 for none")
    return int(str(value))


def log_format(value: object, directory: Path) -> str:
    """How log lines look."""
    if text(value, directory) not in ("json", "console"):
        raise ValueError("must be json or console")
    return text(value, directory)


def module(value: object, directory: Path) -> str:
    """An importable module, or an attribute of one behind a colon."""
    name = text(value, directory)
    if not all(part.isidentifier() for part in re.split(r"[.]|:(?=[^:]*$)", name)):
        raise ValueError("must name a Python module, such as shop.jobs or shop.jobs:app")
    return name
