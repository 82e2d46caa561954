"""
The settings of a deployment: one frozen record, made once from environment and grantkeeper.toml.

`SETTINGS` is the only list of what there is; reader and reference page both use it.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grantkeeper import settings_values as values
from grantkeeper.backoff import CondemnLimit
from grantkeeper.errors import SettingsInvalid
from grantkeeper.model import Client
from grantkeeper.protocol.discovery import GOOGLE, is_loopback, split_url
from grantkeeper.settings_clients import DEFAULT, ClientsLike, Raw, clients_from, read_clients, suggestion
from grantkeeper.settings_values import Network, Parser, Rate

PREFIX = "GRANTKEEPER_"
FILE = "grantkeeper.toml"
NO_FILE = (
    f"Correct what is named above. There is no {FILE} here: go to the directory that has it, make one with "
    "`grantkeeper init`, or set all in the environment."
)


@dataclass(frozen=True, slots=True)
class Setting:
    """
    What can be set.

    Attributes:
        name: In grantkeeper.toml.
        default: As one would write it; ``None`` where there is none.
        sentence: What it does.
        usual: What happens without it, where that cannot be written as a default.
        used: ``False`` for what this release reads and checks, and does not use yet.
    """

    name: str
    parse: Parser
    sentence: str
    default: str | None = None
    usual: str = ""
    used: bool = True

    @property
    def environment(self) -> str:
        """The variable's name."""
        return PREFIX + self.name.upper()


def _client_secrets(value: object, directory: Path) -> dict[str, list[str]]:
    """Files by client name: ``name=path``, or a bare path for the default client."""
    files: dict[str, list[str]] = {}
    for one in values.texts(value, directory):
        named = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9_-]*)=(.+)", one)
        name, path = (named[1], named[2]) if named else (DEFAULT, one)
        files.setdefault(name, []).append(path.strip())
    if not files:
        raise ValueError("must name a client file")
    return files


SETTINGS = (
    Setting(
        "database_url",
        values.database_url,
        "Where grants are kept: a SQLite file of grantkeeper's own, or a PostgreSQL database "
        "(`postgresql://user:password@host/database`, extra `postgres`) that any number of nodes share.",
        default="sqlite:///grantkeeper.db",
    ),
    Setting(
        "client_secrets",
        _client_secrets,
        "The client file of the Google Cloud console (client_secret_*.json): a path for the client "
        "`default`, or name=path, several with commas between. A name given twice has two secrets.",
        usual="the [clients.NAME] tables of grantkeeper.toml",
    ),
    Setting("issuer", values.issuer, "The issuer of the client `default`.", usual=GOOGLE),
    Setting(
        "keys",
        values.path,
        "The keys that seal what is stored; `grantkeeper init` makes them. No key, no start.",
        default="./keys.json",
    ),
    Setting(
        "keys_wrapped_by",
        values.kms_key,
        "The URI of the KMS key that seals keys.json itself: gcp-kms://…, aws-kms://… or hcvault://…, each "
        "with its extra.",
        usual="keys.json is not sealed",
    ),
    Setting(
        "public_url",
        values.own_url,
        "The address of this service as apps and backends see it; the issuer of session tokens.",
        usual="the address that `serve` listens on",
    ),
    Setting(
        "proxy_hosts",
        values.hosts,
        "The hosts that the proxy may send a user's token to.",
        default="",
        used=False,
    ),
    Setting(
        "trusted_proxies",
        values.networks,
        "Addresses and networks of the proxies in front, whose forwarding headers are believed.",
        default="",
    ),
    Setting(
        "journal_dir",
        values.path,
        "Where answers wait that could not be stored; on a disk that survives a restart.",
        usual="`journal` beside the SQLite file, else beside keys.json",
    ),
    Setting(
        "clock_file",
        values.path,
        "A file with an offset that moves the clock of all processes together; for tests against an "
        "emulator, with issuers on loopback only.",
        usual="the system's clock",
    ),
    Setting("jobs_app", values.module, "The module that defines the offline jobs."),
    Setting(
        "url",
        values.own_url,
        "The address of a running service that commands use instead of the database, together with "
        "caller_key_file.",
        usual="commands open the database",
    ),
    Setting("caller_key_file", values.path, "A file with the caller key that commands use at `url`."),
    Setting(
        "statement_cache",
        values.count,
        "How many prepared statements a PostgreSQL connection keeps; 0 behind PgBouncer.",
        usual="200, which is all of them",
    ),
    Setting(
        "listen_url",
        values.postgres_url,
        "A direct URL of PostgreSQL for the change feed and for `grantkeeper migrate`, where database_url "
        "goes through PgBouncer.",
        usual="the feed uses database_url",
    ),
    Setting(
        "condemn_limit",
        values.condemn_limit,
        "When within five minutes so many grants, and more than this share of a client's refreshes, are "
        "refused, no more grants are condemned: the issuer may be wrong for everyone.",
        default="50,0.2",
    ),
    Setting(
        "redeem_limit",
        values.rate,
        "How many sign-ins one address may send: a count, a slash and second, minute, hour or day.",
        default="120/minute",
    ),
    Setting(
        "log_format",
        values.log_format,
        "json or console.",
        usual="console on a terminal, json elsewhere",
    ),
)
"""Every setting. The clients' own tables are `grantkeeper.settings_clients.CLIENT_SETTINGS`."""

_BY_NAME = {setting.name: setting for setting in SETTINGS}

_FOR_CLIENTS = frozenset({"client_secrets", "issuer"})
"""Settings that end up inside the clients."""

_KUBERNETES = re.compile(r"SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?")
"""Variables that Kubernetes sets for a service that is called grantkeeper; they are not ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the settings say, every value checked and typed. Paths are absolute."""

    clients: Mapping[str, Client]
    database_url: str = field(repr=False)
    keys: Path
    keys_wrapped_by: str | None = None
    public_url: str | None = None
    proxy_hosts: frozenset[str] = frozenset()
    trusted_proxies: tuple[Network, ...] = ()
    journal_dir: Path
    clock_file: Path | None = None
    jobs_app: str | None = None
    url: str | None = None
    caller_key_file: Path | None = None
    statement_cache: int | None = None
    listen_url: str | None = field(default=None, repr=False)
    condemn_limit: CondemnLimit
    redeem_limit: Rate
    log_format: str | None = None

    @property
    def database_file(self) -> Path | None:
        """The SQLite file; ``None`` where the database is a PostgreSQL server's."""
        return values.database_file(self.database_url)

    @classmethod
    def from_mapping(
        cls,
        environ: Mapping[str, str],
        toml: Mapping[str, Any] | None = None,
        *,
        directory: Path | None = None,
        need_clients: bool = True,
    ) -> "Settings":
        """
        The settings in *environ*, over those in *toml*. Empty variables count as not set.

        Args:
            directory: Where relative paths start; the working directory.
            need_clients: Whether no client at all is a problem; some commands do without.

        Raises:
            SettingsInvalid: With every problem at once; names of settings, never values.
        """
        toml = {} if toml is None else toml
        directory = Path() if directory is None else directory
        problems: list[str] = []
        raw = _raw(environ, toml, problems)
        read = _parsed(raw, directory, problems)
        tables = _tables(toml.get("clients", {}), problems)
        if read["client_secrets"] is not None:
            for name, files in read["client_secrets"].items():
                tables.setdefault(name, {})["secrets"] = Raw(files, raw["client_secrets"].where)
        if "issuer" in raw and tables and DEFAULT not in tables:
            problems.append(
                f"{raw['issuer'].where} is for the client `default`, and there is none of that name"
            )
        elif read["issuer"] is not None and tables:
            tables[DEFAULT]["issuer"] = Raw(read["issuer"], raw["issuer"].where)
        if need_clients and not tables and "client_secrets" not in raw:
            problems.append(
                f"no client is set: client_secrets in {FILE}, or GRANTKEEPER_CLIENT_SECRETS, must name the "
                "client_secret_*.json of the Google Cloud console"
            )
        clients = read_clients(tables, directory, problems)
        return cls._checked(clients, read, problems, directory, clock=raw.get("clock_file"))

    @classmethod
    def of(cls, clients: ClientsLike, *, directory: Path | None = None, **given: object) -> "Settings":
        """
        Settings that a program gives itself, by name and as they would be written; nothing else is read.

        Raises:
            SettingsInvalid: With every problem of the values at once.
            TypeError: There is no setting of a name.
        """
        for name in given:
            if name not in _BY_NAME or name in _FOR_CLIENTS - {"issuer"}:
                raise TypeError(f"there is no setting {name}{suggestion(name, _BY_NAME)}")
        directory = Path() if directory is None else directory
        problems: list[str] = []
        raw = {name: Raw(value, name) for name, value in given.items() if value is not None}
        read = _parsed(raw, directory, problems)
        found: dict[str, Client] = {}
        try:
            found = clients_from(clients, issuer=read["issuer"], directory=directory)
        except SettingsInvalid as error:
            problems += error.problems
        return cls._checked(found, read, problems, directory, clock=raw.get("clock_file"))

    @classmethod
    def _checked(
        cls,
        clients: Mapping[str, Client],
        read: Mapping[str, Any],
        problems: list[str],
        directory: Path,
        *,
        clock: Raw | None,
    ) -> "Settings":
        real = any(not _on_loopback(client.issuer) for client in clients.values())
        if clock is not None and read["clock_file"] is not None and real:
            problems.append(
                f"{clock.where} is for tests: a moved clock needs every client's issuer on loopback"
            )
        if problems:
            raise SettingsInvalid(problems)
        own = {name: value for name, value in read.items() if name not in _FOR_CLIENTS}
        if own["journal_dir"] is None:
            beside = values.database_file(own["database_url"]) or own["keys"]
            own["journal_dir"] = beside.with_name("journal")
        return cls(clients=dict(clients), **own)


def load_settings(
    environ: Mapping[str, str] | None = None, directory: Path | None = None, *, need_clients: bool = True
) -> Settings:
    """
    The settings in the environment and in *directory*'s grantkeeper.toml, if there is one.

    Raises:
        SettingsInvalid: With every problem at once.
    """
    directory = Path() if directory is None else directory
    environ = os.environ if environ is None else environ
    try:
        toml = tomllib.loads((directory / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        try:
            return Settings.from_mapping(environ, directory=directory, need_clients=need_clients)
        except SettingsInvalid as error:
            # Most likely the wrong directory, or one in which nothing is made yet.
            raise SettingsInvalid(error.problems, hint=NO_FILE) from None
    except OSError as error:
        raise SettingsInvalid([f"{FILE} cannot be read ({error.strerror})"]) from None
    except UnicodeDecodeError:
        raise SettingsInvalid([f"{FILE} is not UTF-8"]) from None
    except tomllib.TOMLDecodeError as error:
        # Only the place: the sentence before it may quote the line.
        place = re.search(r"\((at [^()]*)\)$", str(error))
        raise SettingsInvalid([f"{FILE} is not TOML" + (f" ({place[1]})" if place else "")]) from None
    return Settings.from_mapping(environ, toml, directory=directory, need_clients=need_clients)


def _raw(environ: Mapping[str, str], toml: Mapping[str, Any], problems: list[str]) -> dict[str, Raw]:
    """What is set, from both places; unknown names are problems."""
    raw: dict[str, Raw] = {}
    for key, value in toml.items():
        if key in _BY_NAME:
            raw[key] = Raw(value, f"{key} in {FILE}")
        elif key != "clients":
            problems.append(f"{key} in {FILE} is not a setting{suggestion(key, [*_BY_NAME, 'clients'])}")
    names = {setting.name.upper(): setting.name for setting in SETTINGS}
    for variable, value in environ.items():
        name = variable.removeprefix(PREFIX)
        if name == variable or _KUBERNETES.fullmatch(name):
            continue
        if name not in names:
            problems.append(f"{variable} is not a setting{suggestion(name, names, prefix=PREFIX)}")
        elif value.strip():
            raw[names[name]] = Raw(value, variable)
    return raw


def _parsed(raw: Mapping[str, Raw], directory: Path, problems: list[str]) -> dict[str, Any]:
    """Every setting's value, its default or ``None``."""
    read: dict[str, Any] = {}
    for setting in SETTINGS:
        found = raw.get(setting.name)
        try:
            if found is not None:
                read[setting.name] = setting.parse(found.value, directory)
                continue
        except ValueError as error:
            problems.append(f"{raw[setting.name].where} {error}")
        default = setting.default
        read[setting.name] = None if default is None else setting.parse(default, directory)
    return read


def _tables(clients: object, problems: list[str]) -> dict[str, dict[str, Raw]]:
    """The ``[clients.NAME]`` tables."""
    if not isinstance(clients, Mapping):
        problems.append(f"clients in {FILE} must be tables, as in [clients.default]")
        return {}
    tables: dict[str, dict[str, Raw]] = {}
    for name, table in clients.items():
        if isinstance(table, Mapping):
            tables[name] = {
                key: Raw(value, f"clients.{name}.{key} in {FILE}") for key, value in table.items()
            }
        else:
            problems.append(f"clients.{name} in {FILE} must be a table, as in [clients.{name}]")
    return tables


def _on_loopback(url: str) -> bool:
    parts = split_url(url)
    return parts is not None and is_loopback(parts.hostname)
