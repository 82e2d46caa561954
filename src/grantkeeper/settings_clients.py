"""
The OAuth clients of the settings: from ``[clients.NAME]`` tables and client files to `Client` records.

Every problem is collected, none is raised before all are known.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grantkeeper.client_file import ClientFile, parse_client, read_client_file
from grantkeeper.errors import SettingsInvalid
from grantkeeper.model import Client, Provider, Source
from grantkeeper.protocol.authorization import DEFAULT_REDIRECTS, EMPTY, LOOPBACK_RULE, ORIGIN, POSTMESSAGE
from grantkeeper.protocol.discovery import GOOGLE
from grantkeeper.protocol.scopes import Scopes, is_scope, normalised
from grantkeeper.secret import ClientSecret
from grantkeeper.settings_values import (
    Parser,
    issuer,
    origin,
    path,
    redirect_uri,
    return_address,
    text,
    texts,
)

DEFAULT = "default"
"""The client that is meant where no name is said."""

MOST_SECRETS = 2


@dataclass(frozen=True, slots=True)
class ClientSetting:
    """A key of a ``[clients.NAME]`` table, for the reader and the reference page."""

    name: str
    default: str
    sentence: str


CLIENT_SETTINGS = (
    ClientSetting(
        "secrets",
        "",
        "The client file (client_secret_*.json) of the Google Cloud console, or a list of two while the "
        "secret is being changed: the one that last worked is used first.",
    ),
    ClientSetting(
        "issuer", GOOGLE, "The issuer's identifier. Needed for provider oidc; on plain http only on loopback."
    ),
    ClientSetting(
        "provider",
        "google",
        "google, whatever the issuer's URL, or oidc for another issuer.",
    ),
    ClientSetting(
        "origins", "the file's javascript_origins", "Web origins whose pages may send codes of this client."
    ),
    ClientSetting(
        "app_client_ids",
        "",
        "Client ids of the phone and web apps of this project, the only azp accepted beside its own.",
    ),
    ClientSetting("scopes", "", "What the app asks for, where a request does not say."),
    ClientSetting(
        "return_to",
        "",
        "Addresses that the redirect flow may return a browser to, compared whole: web pages, or an app's "
        "own scheme such as com.example.app:/signed-in.",
    ),
    ClientSetting(
        "redirect.<source>",
        "by the file",
        "Enables a source (ios, android, web-popup, web, desktop) and says which redirect_uri its codes "
        'are redeemed with: for ios and android "" (empty) or the registered URI, for web-popup postmessage '
        "or origin, for web the registered URIs, for desktop loopback; true stands for what is usual. With "
        "none set: ios and android, web-popup if the file has javascript_origins, web if it has "
        "redirect_uris, desktop if it is of type installed.",
    ),
)
"""Every key of a client's table."""

_KEYS = frozenset(setting.name.partition(".")[0] for setting in CLIENT_SETTINGS)


@dataclass(frozen=True, slots=True)
class Raw:
    """A value as it was found, and what to call the place in an error."""

    value: object
    where: str


def suggestion(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """The end of a sentence about an unknown *name*; *prefix* is common to all and proves nothing."""
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def read_clients(
    tables: Mapping[str, Mapping[str, Raw]], directory: Path, problems: list[str]
) -> dict[str, Client]:
    """The clients that *tables* define; what is wrong is appended to *problems*."""
    clients: dict[str, Client] = {}
    for name, table in tables.items():
        client = _Reader(name, table, directory, problems).client()
        if client is None:
            continue
        identity = (client.client_id, client.issuer)
        same = [other.name for other in clients.values() if (other.client_id, other.issuer) == identity]
        problems += [f"clients.{name} is the same OAuth client as clients.{other}" for other in same]
        clients[name] = client
    return clients


class _Reader:
    """Reads one client's table."""

    def __init__(self, name: str, table: Mapping[str, Raw], directory: Path, problems: list[str]) -> None:
        self._name = name
        self._table = table
        self._directory = directory
        self._problems = problems

    def client(self) -> Client | None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", self._name):
            self._problems.append("a client's name may have letters, digits, - and _ only, at most 64")
            return None
        unknown = sorted(self._table.keys() - _KEYS)
        self._problems += [f"{self._where(key)} is not a setting{suggestion(key, _KEYS)}" for key in unknown]
        files = self._files()
        provider = self._one("provider", _provider, Provider.GOOGLE)
        if provider is Provider.OIDC and "issuer" not in self._table:
            self._problems.append(f"{self._where('issuer')} must be set for provider oidc")
        known_issuer = self._one("issuer", issuer, GOOGLE)
        if not files:
            self._redirects(None, frozenset())
            return None
        first = files[0]
        origins = self._origins(first)
        return Client(
            name=self._name,
            provider=provider,
            client_id=first.client_id,
            secrets=_different(file.secret for file in files),
            issuer=known_issuer,
            project=first.project,
            app_client_ids=frozenset(self._one("app_client_ids", _client_ids, ())),
            redirects=self._redirects(first, origins),
            origins=origins,
            scopes=self._one("scopes", _scopes, frozenset()),
            return_to=self._each("return_to", return_address),
        )

    def _where(self, key: str) -> str:
        raw = self._table.get(key)
        return f"clients.{self._name}.{key}" if raw is None else raw.where

    def _one(self, key: str, parse: Parser, default: Any) -> Any:
        if key not in self._table:
            return default
        try:
            return parse(self._table[key].value, self._directory)
        except ValueError as error:
            self._problems.append(f"{self._where(key)} {error}")
            return default

    def _each(self, key: str, parse: Parser) -> tuple[Any, ...]:
        def parse_all(value: object, directory: Path) -> tuple[Any, ...]:
            return tuple(parse(one, directory) for one in texts(value, directory))

        found: tuple[Any, ...] = self._one(key, parse_all, ())
        return found

    # -- files --------------------------------------------------------------------------------

    def _files(self) -> list[ClientFile]:
        raw = self._table.get("secrets")
        named = [] if raw is None else _listed(raw.value)
        if not 1 <= len(named) <= MOST_SECRETS:
            self._problems.append(f"{self._where('secrets')} must name one or two client files")
            return []
        files = []
        for one in named:
            try:
                files.append(
                    parse_client(one)
                    if isinstance(one, Mapping)
                    else read_client_file(path(one, self._directory))
                )
            except ValueError as error:
                about = "the file" if len(named) == 1 else f"file {len(files) + 1} of {len(named)}"
                self._problems.append(f"{self._where('secrets')}: {about} {error}")
                return []
        if len({file.client_id for file in files}) > 1:
            self._problems.append(f"{self._where('secrets')}: the two files are of different clients")
            return []
        return files

    # -- origins and redirects ----------------------------------------------------------------

    def _origins(self, file: ClientFile) -> frozenset[str]:
        if "origins" in self._table:
            return frozenset(self._each("origins", origin))
        try:
            return frozenset(origin(one, self._directory) for one in file.origins)
        except ValueError as error:
            self._problems.append(f"{self._where('secrets')}: the file's javascript_origins {error}")
            return frozenset()

    def _redirects(self, file: ClientFile | None, origins: frozenset[str]) -> dict[Source, tuple[str, ...]]:
        if "redirect" not in self._table:
            return {} if file is None else self._usual(file)
        table = self._table["redirect"].value
        if not isinstance(table, Mapping):
            self._problems.append(f"{self._where('redirect')} must name a source, as in redirect.ios = true")
            return {}
        redirects: dict[Source, tuple[str, ...]] = {}
        for key, value in table.items():
            where = f"clients.{self._name}.redirect.{key}"
            if key not in set(Source):
                self._problems.append(f"{where} is not a source{suggestion(key, Source)}")
            elif value is not False:
                try:
                    redirects[Source(key)] = self._allowed(Source(key), value, file, origins)
                except ValueError as error:
                    self._problems.append(f"{where} {error}")
        if not redirects and not any(f"clients.{self._name}.redirect" in line for line in self._problems):
            self._problems.append(f"{self._where('redirect')} enables no source")
        return redirects

    def _usual(self, file: ClientFile) -> dict[Source, tuple[str, ...]]:
        redirects = dict(DEFAULT_REDIRECTS)
        if file.origins:
            redirects[Source.WEB_POPUP] = (POSTMESSAGE,)
        if file.installed:
            redirects[Source.DESKTOP] = (LOOPBACK_RULE,)
        elif file.redirect_uris:
            try:
                redirects[Source.WEB] = self._registered(file)
            except ValueError as error:
                self._problems.append(f"{self._where('secrets')}: the file's redirect_uris {error}")
        return redirects

    def _registered(self, file: ClientFile) -> tuple[str, ...]:
        return tuple(redirect_uri(one, self._directory) for one in file.redirect_uris)

    def _allowed(
        self, source: Source, value: object, file: ClientFile | None, origins: frozenset[str]
    ) -> tuple[str, ...]:
        """The values that codes of *source* may be redeemed with."""
        if source is Source.WEB and value is True and file is not None:
            if not file.redirect_uris:
                raise ValueError("is true, but the client file has no redirect_uris")
            return self._registered(file)
        if value is True:
            value = {Source.WEB_POPUP: POSTMESSAGE, Source.DESKTOP: LOOPBACK_RULE}.get(source, EMPTY)
            if source is Source.WEB:
                return ()
        values = [value] if value == EMPTY else list(texts(value, self._directory))
        if source in (Source.IOS, Source.ANDROID):
            if len(values) != 1:
                raise ValueError('must be "" or one registered redirect URI')
            return (EMPTY,) if values == [EMPTY] else (redirect_uri(values[0], self._directory),)
        if not values or values == [EMPTY]:
            raise ValueError("must name at least one redirect URI")
        if source is Source.WEB_POPUP:
            if ORIGIN in values and not origins and file is not None:
                raise ValueError("is origin, but the client has no origins")
            return tuple(
                one if one in (POSTMESSAGE, ORIGIN) else origin(one, self._directory) for one in values
            )
        special = {LOOPBACK_RULE} if source is Source.DESKTOP else set[str]()
        return tuple(one if one in special else redirect_uri(one, self._directory) for one in values)


def _listed(value: object) -> list[object]:
    if isinstance(value, (list, tuple)):
        return list(value)
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else [value]


def _different(secrets: Iterable[ClientSecret]) -> tuple[ClientSecret, ...]:
    different: list[ClientSecret] = []
    for secret in secrets:
        if secret not in different:
            different.append(secret)
    return tuple(different)


def _provider(value: object, directory: Path) -> Provider:
    try:
        return Provider(text(value, directory))
    except ValueError:
        raise ValueError("must be google or oidc") from None


def _client_ids(value: object, directory: Path) -> tuple[str, ...]:
    ids = texts(value, directory)
    if not all("!" <= char <= "~" for one in ids for char in one):
        raise ValueError("must be client ids")
    return ids


def _scopes(value: object, directory: Path) -> Scopes:
    names = value.split() if isinstance(value, str) else texts(value, directory)
    if not all(map(is_scope, names)):
        raise ValueError("must be names of scopes, in a list or with blanks between")
    return normalised(names)


# -- without a settings file --------------------------------------------------------------------

ClientsLike = str | Path | Client | Mapping[str, Any] | Iterable[Client]


def clients_from(
    clients: ClientsLike, *, issuer: str | None = None, directory: Path | None = None
) -> dict[str, Client]:
    """
    The clients that a program names itself.

    Args:
        clients: The path of a client file, its content, a `Client` or several,
            or a mapping from names to any of these or to tables with the keys
            of `CLIENT_SETTINGS`.
        issuer: For all clients that come from files.
        directory: Where relative paths start; the working directory.

    Raises:
        SettingsInvalid: Something is wrong with them; every problem at once.
    """
    if isinstance(clients, Client):
        return {clients.name: clients}
    if isinstance(clients, (str, Path)):
        named: Mapping[str, Any] = {DEFAULT: clients}
    elif isinstance(clients, Mapping):
        named = {DEFAULT: clients} if {"web", "installed"} & _documents(clients) else clients
    else:
        named = {client.name: client for client in clients}
    ready = {name: replace(one, name=name) for name, one in named.items() if isinstance(one, Client)}
    tables = {name: _table(name, one, issuer) for name, one in named.items() if not isinstance(one, Client)}
    problems: list[str] = []
    found = read_clients(tables, Path() if directory is None else directory, problems)
    if not ready and not tables:
        problems.append("no client is given")
    if problems:
        raise SettingsInvalid(problems)
    return {name: ready[name] if name in ready else found[name] for name in named}


def _documents(clients: Mapping[str, Any]) -> set[str]:
    """Which keys hold what a client file has under ``web`` or ``installed``."""
    return {key for key, value in clients.items() if isinstance(value, Mapping) and "client_id" in value}


def _table(name: str, given: object, issuer: str | None) -> dict[str, Raw]:
    is_table = isinstance(given, Mapping) and not {"web", "installed", "type"} & given.keys()
    values = dict(given) if is_table and isinstance(given, Mapping) else {"secrets": given}
    if issuer is not None:
        values.setdefault("issuer", issuer)
    return {key: Raw(value, f"clients.{name}.{key}") for key, value in values.items()}
