"""The settings: what may be written, what it becomes, and that every problem is told at once."""

import dataclasses
import json
import subprocess
import sys
import traceback
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from grantkeeper.backoff import CondemnLimit
from grantkeeper.errors import SettingsInvalid
from grantkeeper.model import Client, Provider, Source
from grantkeeper.protocol.scopes import EMAIL
from grantkeeper.secret import ClientSecret
from grantkeeper.settings import SETTINGS, Settings, load_settings
from grantkeeper.settings_clients import CLIENT_SETTINGS, clients_from
from grantkeeper.settings_values import Rate

WEB: dict[str, Any] = {
    "client_id": "111-abc.apps.googleusercontent.com",
    "project_id": "shop",
    "auth_uri": "https://evil.example/auth",
    "token_uri": "https://evil.example/token",
    "client_secret": "GOCSPX-marker",
    "redirect_uris": ["https://shop.example/callback", "http://localhost:8080/callback"],
    "javascript_origins": ["https://shop.example", "http://localhost:8080"],
}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory with one web client's file."""
    write(tmp_path / "client_secret.json", {"web": WEB})
    return tmp_path


def write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


def web(**changes: object) -> dict[str, Any]:
    """A web client's file with *changes*; ``None`` leaves a field out."""
    fields = {name: value for name, value in {**WEB, **changes}.items() if value is not None}
    return {"web": fields}


def settings(here: Path, toml: str = "", **environ: str) -> Settings:
    """The settings in *here* with a client file and the variables *environ*."""
    (here / "grantkeeper.toml").write_text(toml)
    named = {f"GRANTKEEPER_{name}": value for name, value in environ.items()}
    if "client" not in toml:
        named.setdefault("GRANTKEEPER_CLIENT_SECRETS", "client_secret.json")
    return load_settings(named, here)


def problems(here: Path, toml: str = "", **environ: str) -> tuple[str, ...]:
    """Every problem of such settings; none of them quotes a value with "marker" in it."""
    with pytest.raises(SettingsInvalid) as caught:
        settings(here, toml, **environ)
    assert "marker" not in "".join(traceback.format_exception(caught.value))
    return caught.value.problems


# -- the whole ---------------------------------------------------------------------------------


def test_a_client_file_is_all_that_must_be_set(here: Path) -> None:
    """
    Everything else has a default that works on one machine.
    """
    found = settings(here)

    assert f"sqlite:///{here / 'grantkeeper.db'}" == found.database_url
    assert here / "grantkeeper.db" == found.database_file
    assert here / "keys.json" == found.keys
    assert here / "journal" == found.journal_dir
    assert (Rate(120, 60.0), CondemnLimit(50, 0.2)) == (found.redeem_limit, found.condemn_limit)
    assert ((), frozenset(), None, None) == (
        found.trusted_proxies,
        found.proxy_hosts,
        found.public_url,
        found.log_format,
    )


def test_the_environment_stands_over_the_file(here: Path) -> None:
    """
    A variable wins against grantkeeper.toml, setting by setting; an empty one does not count.
    """
    toml = 'redeem_limit = "5/hour"\nlog_format = "json"\npublic_url = "https://one.example"\n'
    found = settings(here, toml, REDEEM_LIMIT="7/day", LOG_FORMAT="", PUBLIC_URL=" ")

    assert Rate(7, 86400.0) == found.redeem_limit
    assert "json" == found.log_format
    assert "https://one.example" == found.public_url


def test_every_setting_can_be_written_both_ways(here: Path) -> None:
    """
    As a variable and as a key of the file, with the same result.
    """
    written = {
        "database_url": "sqlite:///grants.db",
        "keys": "safe/keys.json",
        "keys_wrapped_by": "gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k",
        "public_url": "https://grants.example/",
        "proxy_hosts": "www.googleapis.com, photoslibrary.googleapis.com",
        "trusted_proxies": "10.0.0.0/8,::1",
        "journal_dir": "journal.d",
        "clock_file": "clock",
        "jobs_app": "shop.jobs:app",
        "url": "https://grants.example/gk/",
        "caller_key_file": "caller.key",
        "statement_cache": "0",
        "listen_url": "postgresql://direct/grants",
        "condemn_limit": "10,0.5",
        "redeem_limit": "9/second",
        "log_format": "console",
        "issuer": "http://127.0.0.1:9999",
        "client_secrets": "client_secret.json",
    }
    by_variable = settings(here, **{name.upper(): value for name, value in written.items()})
    by_file = settings(here, "".join(f"{name} = {json.dumps(value)}\n" for name, value in written.items()))

    assert {setting.name for setting in SETTINGS} == written.keys()
    assert by_file == by_variable
    assert here / "safe/keys.json" == by_variable.keys
    assert "https://grants.example" == by_variable.public_url
    assert frozenset({"www.googleapis.com", "photoslibrary.googleapis.com"}) == by_variable.proxy_hosts
    assert (ip_network("10.0.0.0/8"), ip_network("::1")) == by_variable.trusted_proxies
    assert (0, "shop.jobs:app") == (by_variable.statement_cache, by_variable.jobs_app)
    assert CondemnLimit(10, 0.5) == by_variable.condemn_limit
    assert (here / "clock", here / "caller.key") == (by_variable.clock_file, by_variable.caller_key_file)


def test_lists_and_numbers_may_be_toml_s_own(here: Path) -> None:
    """
    TOML has types, so they may be used.
    """
    toml = (
        'trusted_proxies = ["10.0.0.1"]\nstatement_cache = 100\ncondemn_limit = [20, 0.1]\n'
        'client_secrets = ["client_secret.json"]\n'
    )
    found = settings(here, toml)

    assert ((ip_network("10.0.0.1"),), 100) == (found.trusted_proxies, found.statement_cache)
    assert CondemnLimit(20, 0.1) == found.condemn_limit


def test_all_problems_are_told_at_once(here: Path) -> None:
    """
    Nobody mends a deployment one restart at a time; names are told, values never.
    """
    found = problems(
        here,
        'log_format = "marker"\n[clients.app]\nsecrets = "marker.json"\nissuer = "http://marker.example"\n',
        REDEEM_LIMIT="marker",
        PUBLIC_URL="http://marker.example",
        TRUSTED_PROXIES="marker",
        CONDEMN_LIMIT="50,marker",
        KEYZ="marker",
    )

    assert [
        "GRANTKEEPER_CONDEMN_LIMIT",
        "GRANTKEEPER_KEYZ",
        "GRANTKEEPER_PUBLIC_URL",
        "GRANTKEEPER_REDEEM_LIMIT",
        "GRANTKEEPER_TRUSTED_PROXIES",
        "clients.app.issuer",
        "clients.app.secrets",
        "log_format",
    ] == sorted(line.split(" ")[0] for line in found)


@pytest.mark.parametrize(
    ("environ", "toml", "sentence"),
    [
        ({"KEYZ": "x"}, "", "GRANTKEEPER_KEYZ is not a setting; did you mean GRANTKEEPER_KEYS?"),
        ({"QQQQQQ": "x"}, "", "GRANTKEEPER_QQQQQQ is not a setting"),
        (
            {},
            'databse_url = "x"',
            "databse_url in grantkeeper.toml is not a setting; did you mean database_url?",
        ),
        (
            {},
            '[client.web]\nsecrets = "x"\n[clients.web]\nsecrets = "client_secret.json"',
            "client in grantkeeper.toml is not a setting; did you mean clients?",
        ),
        (
            {},
            '[clients.web]\nsecrets = "client_secret.json"\nsecret = "x"',
            "clients.web.secret in grantkeeper.toml is not a setting; did you mean secrets?",
        ),
        (
            {},
            '[clients.web]\nsecrets = "client_secret.json"\nredirect.iso = ""\nredirect.web = true',
            "clients.web.redirect.iso is not a source; did you mean ios?",
        ),
    ],
)
def test_an_unknown_name_is_a_problem_with_a_guess(
    here: Path, environ: dict[str, str], toml: str, sentence: str
) -> None:
    """
    A misspelt setting that is silently ignored is a setting at its default.
    """
    assert (sentence,) == problems(here, toml, **environ)


def test_variables_of_kubernetes_and_of_others_are_not_ours(here: Path) -> None:
    """
    Kubernetes sets variables for every service by its name, and a service may be called grantkeeper.
    """
    found = settings(
        here,
        SERVICE_HOST="10.0.0.1",
        SERVICE_PORT="80",
        SERVICE_PORT_HTTP="80",
        PORT="tcp://10.0.0.1:80",
        PORT_80_TCP="tcp://10.0.0.1:80",
        PORT_80_TCP_ADDR="10.0.0.1",
    )

    assert 1 == len(found.clients)
    assert load_settings({"PATH": "/bin", "GRANTKEEPE": "x"}, here, need_clients=False).clients == {}


BAD_VALUES = {
    "CLIENT_SECRETS": [",", " , ,"],
    "KEYS": ["mar\x00ker", "mar\nker", "~marker/keys.json"],
    "DATABASE_URL": [
        "marker",
        "sqlite://[marker",
        "sqlite://marker",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///a?marker=1",
    ],
    "PUBLIC_URL": [
        "http://marker.example",
        "https://marker.example/#x",
        "https://user:marker@x.example",
        "marker",
    ],
    "PROXY_HOSTS": ["*.googleapis.com", "https://marker", "marker", "www.marker.com:443", "a..b"],
    "TRUSTED_PROXIES": ["10.0.0.1/8", "marker", "10.0.0.0/33", "10.0.0.1-10.0.0.9"],
    "REDEEM_LIMIT": ["marker", "120", "0/minute", "-1/minute", "1.5/minute", "120/fortnight", "/minute"],
    "CONDEMN_LIMIT": ["marker", "50", "0,0.2", "50,0", "50,1.1", "50,-0.1", "50,20%", "50,0.2,3", "50,nan"],
    "LOG_FORMAT": ["marker", "JSON"],
    "STATEMENT_CACHE": ["marker", "-1", "1.5", "9999999999"],
    "LISTEN_URL": ["marker", "sqlite:///marker", "https://marker"],
    "JOBS_APP": ["marker job", "shop..jobs", "1shop", "shop:a:b"],
    "ISSUER": ["marker", "http://marker.example", "https://marker.example?x=1", "accounts.google.com"],
    "URL": ["http://marker.example", "marker"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, found in BAD_VALUES.items() for value in found]
)
def test_a_wrong_value_is_one_sentence_without_the_value(here: Path, name: str, value: str) -> None:
    """
    It begins with the setting's name and says what is expected.
    """
    (problem,) = problems(here, **{name: value})

    assert problem.startswith(f"GRANTKEEPER_{name} ")


@pytest.mark.parametrize("value", ["1", "1.5", "true", "[1]", "{a = 1}", "1979-05-27"])
@pytest.mark.parametrize("name", sorted({s.name for s in SETTINGS} - {"statement_cache", "client_secrets"}))
def test_a_value_of_the_wrong_type_is_a_problem(here: Path, name: str, value: str) -> None:
    """
    Whatever TOML can say, the answer is a sentence and not a traceback.
    """
    found = problems(here, f"{name} = {value}\n")

    assert 1 == len(found)
    assert found[0].startswith(f"{name} in grantkeeper.toml ")


@pytest.mark.parametrize(
    "url", ["postgresql://u:marker@db/g", "postgres://marker/g", "postgresql+asyncpg://marker/g"]
)
def test_postgresql_is_refused_with_the_news_that_it_comes_later(here: Path, url: str) -> None:
    """
    Nobody should look for the mistake in their own URL.
    """
    (problem,) = problems(here, DATABASE_URL=url)

    assert "names a PostgreSQL database" in problem
    assert "extra `postgres`" in problem


def test_a_moved_clock_needs_an_issuer_on_loopback(here: Path) -> None:
    """
    With Google's real tokens a moved clock would accept expired ones.
    """
    (problem,) = problems(here, CLOCK_FILE="clock")

    assert problem.startswith("GRANTKEEPER_CLOCK_FILE is for tests")
    assert here / "clock" == settings(here, CLOCK_FILE="clock", ISSUER="http://localhost:9").clock_file


@pytest.mark.parametrize(
    ("toml", "place"),
    [
        ("a = = 'marker'", " (at line 1, column 5)"),
        ("'marker", " (at end of document)"),
        ("x='m\x01arker'", None),
    ],
)
def test_a_file_that_is_not_toml_is_named_and_not_quoted(here: Path, toml: str, place: str | None) -> None:
    """
    The place helps, the text might be a secret.
    """
    (problem,) = problems(here, toml + "#client")

    assert problem.startswith("grantkeeper.toml is not TOML")
    assert place is None or problem.endswith(place)


def test_a_file_that_is_not_text_or_cannot_be_read_is_a_problem(here: Path) -> None:
    """
    Nor does it end in a traceback.
    """
    (here / "grantkeeper.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsInvalid, match="is not UTF-8"):
        load_settings({}, here)
    (here / "grantkeeper.toml").unlink()
    (here / "grantkeeper.toml").mkdir()
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        load_settings({}, here)


def test_paths_start_where_the_settings_lie(here: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """
    Not where the process happens to stand; a home directory and blanks are understood.
    """
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    absolute = settings(
        here, KEYS=str(elsewhere / "keys.json"), DATABASE_URL=f"sqlite:///{elsewhere}/my grants.db"
    )
    home = settings(here, KEYS="~/keys.json")

    assert elsewhere / "keys.json" == absolute.keys
    assert elsewhere / "my grants.db" == absolute.database_file
    assert elsewhere / "journal" == absolute.journal_dir
    assert Path.home() / "keys.json" == home.keys


def test_settings_show_no_secret(here: Path) -> None:
    """
    Their repr goes into logs.
    """
    shown = repr(settings(here, LISTEN_URL="postgresql://user:marker@direct/grants"))

    assert "marker" not in shown


def test_settings_are_frozen(here: Path) -> None:
    """
    Made once at the edge.
    """
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings(here).log_format = "json"  # type: ignore[misc]


# -- clients -----------------------------------------------------------------------------------


def only(found: Settings) -> Client:
    (client,) = found.clients.values()
    return client


def test_a_web_client_is_read_from_its_file(here: Path) -> None:
    """
    Its id, secret, project, origins and redirects; its addresses are ignored.
    """
    client = only(settings(here))

    assert (
        Client(
            name="default",
            provider=Provider.GOOGLE,
            client_id="111-abc.apps.googleusercontent.com",
            secrets=(ClientSecret("GOCSPX-marker"),),
            issuer="https://accounts.google.com",
            project="shop",
            redirects={
                Source.IOS: ("",),
                Source.ANDROID: ("",),
                Source.WEB_POPUP: ("postmessage",),
                Source.WEB: ("https://shop.example/callback", "http://localhost:8080/callback"),
            },
            origins=frozenset({"https://shop.example", "http://localhost:8080"}),
        )
        == client
    )


@pytest.mark.parametrize(
    ("document", "sources"),
    [
        (web(), "ios android web-popup web"),
        (web(javascript_origins=None), "ios android web"),
        (web(redirect_uris=None), "ios android web-popup"),
        (web(redirect_uris=[], javascript_origins=[]), "ios android"),
        (
            {"installed": {**WEB, "redirect_uris": ["http://localhost"], "javascript_origins": []}},
            "ios android desktop",
        ),
    ],
)
def test_sources_follow_from_the_file_where_nothing_is_said(
    here: Path, document: dict[str, Any], sources: str
) -> None:
    """
    ``ios`` and ``android`` always; the others by what is registered.
    """
    write(here / "client_secret.json", document)

    assert sources.split() == list(only(settings(here)).redirects)


def test_a_desktop_client_uses_the_loopback_rule(here: Path) -> None:
    """
    Any port and path of a loopback name, by design section 2.
    """
    write(here / "client_secret.json", {"installed": {**WEB, "redirect_uris": ["http://localhost"]}})

    assert ("loopback",) == only(settings(here)).redirects[Source.DESKTOP]


def test_a_table_says_everything_about_a_client(here: Path) -> None:
    """
    Every key of design section 6.
    """
    toml = """
    [clients.shop]
    secrets = "client_secret.json"
    issuer = "https://id.shop.example/tenant"
    provider = "oidc"
    origins = ["https://App.Shop.example:443/", "http://127.0.0.1:3000"]
    app_client_ids = ["222-ios", "333-android"]
    scopes = "openid email https://www.googleapis.com/auth/drive.appdata"
    return_to = ["https://shop.example/done", "com.example.shop:/done"]
    redirect.ios = ""
    redirect.android = "https://shop.example/callback"
    redirect.web-popup = "origin"
    redirect.web = ["https://shop.example/callback"]
    redirect.desktop = true
    """
    client = only(settings(here, toml))

    assert ("shop", Provider.OIDC, "https://id.shop.example/tenant") == (
        client.name,
        client.provider,
        client.issuer,
    )
    assert frozenset({"https://app.shop.example", "http://127.0.0.1:3000"}) == client.origins
    assert frozenset({"222-ios", "333-android"}) == client.app_client_ids
    assert frozenset({"openid", EMAIL, "https://www.googleapis.com/auth/drive.appdata"}) == client.scopes
    assert ("https://shop.example/done", "com.example.shop:/done") == client.return_to
    assert {
        Source.IOS: ("",),
        Source.ANDROID: ("https://shop.example/callback",),
        Source.WEB_POPUP: ("origin",),
        Source.WEB: ("https://shop.example/callback",),
        Source.DESKTOP: ("loopback",),
    } == client.redirects


@pytest.mark.parametrize(
    ("redirect", "expected"),
    [
        ("redirect.ios = true", {Source.IOS: ("",)}),
        ("redirect.web-popup = true", {Source.WEB_POPUP: ("postmessage",)}),
        (
            "redirect.web = true",
            {Source.WEB: ("https://shop.example/callback", "http://localhost:8080/callback")},
        ),
        ("redirect.desktop = 'loopback'", {Source.DESKTOP: ("loopback",)}),
        ("redirect.web-popup = 'https://shop.example'", {Source.WEB_POPUP: ("https://shop.example",)}),
        ("redirect.web-popup = ['postmessage', 'origin']", {Source.WEB_POPUP: ("postmessage", "origin")}),
        ("redirect.ios = true\nredirect.android = false", {Source.IOS: ("",)}),
    ],
)
def test_naming_one_source_disables_the_others(
    here: Path, redirect: str, expected: dict[Source, tuple[str, ...]]
) -> None:
    """
    ``true`` stands for what is usual, ``false`` for not.
    """
    client = only(settings(here, f"[clients.default]\nsecrets = 'client_secret.json'\n{redirect}\n"))

    assert expected == client.redirects


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("secrets = []", "clients.x.secrets in grantkeeper.toml must name one or two client files"),
        (
            "secrets = ['c', 'c', 'c']",
            "clients.x.secrets in grantkeeper.toml must name one or two client files",
        ),
        ("secrets = 5", "clients.x.secrets in grantkeeper.toml: the file must be a path"),
        ("secrets = 'marker.json'", "clients.x.secrets in grantkeeper.toml: the file does not exist"),
        ("provider = 'marker'", "clients.x.provider in grantkeeper.toml must be google or oidc"),
        ("provider = []", "clients.x.provider in grantkeeper.toml must be google or oidc"),
        ("provider = 'oidc'", "clients.x.issuer must be set for provider oidc"),
        ("issuer = 'http://marker.example'", "clients.x.issuer in grantkeeper.toml must be an https URL"),
        (
            "origins = ['https://marker.example/path']",
            "clients.x.origins in grantkeeper.toml must be origins",
        ),
        (
            "origins = ['http://marker.example']",
            "clients.x.origins in grantkeeper.toml must be https origins",
        ),
        ("origins = ['null']", "clients.x.origins in grantkeeper.toml must be origins"),
        ("origins = ['*']", "clients.x.origins in grantkeeper.toml must be origins"),
        ("origins = 7", "clients.x.origins in grantkeeper.toml must be a list"),
        ("app_client_ids = ['mar ker']", "clients.x.app_client_ids in grantkeeper.toml must be client ids"),
        ("scopes = ['mar\"ker']", "clients.x.scopes in grantkeeper.toml must be names of scopes"),
        ("scopes = 7", "clients.x.scopes in grantkeeper.toml must be a list"),
        ("return_to = ['javascript:marker()']", "clients.x.return_to in grantkeeper.toml must be https URLs"),
        (
            "return_to = ['http://marker.example/']",
            "clients.x.return_to in grantkeeper.toml must be https URLs",
        ),
        ("redirect = true", "clients.x.redirect in grantkeeper.toml must name a source"),
        ("redirect = {}", "clients.x.redirect in grantkeeper.toml enables no source"),
        ("redirect.ios = false", "clients.x.redirect in grantkeeper.toml enables no source"),
        ("redirect.ios = ['', '']", "clients.x.redirect.ios must be a text"),
        (
            "redirect.ios = ['https://a.example', 'https://b.example']",
            'clients.x.redirect.ios must be "" or one',
        ),
        ("redirect.ios = 'marker'", "clients.x.redirect.ios must be https URLs"),
        ("redirect.ios = 3", "clients.x.redirect.ios must be a list"),
        ("redirect.web = ''", "clients.x.redirect.web must name at least one redirect URI"),
        ("redirect.web = []", "clients.x.redirect.web must name at least one redirect URI"),
        ("redirect.web = 'loopback'", "clients.x.redirect.web must be https URLs"),
        ("redirect.web = 'http://marker.example/cb'", "clients.x.redirect.web must be https URLs"),
        ("redirect.web-popup = 'marker'", "clients.x.redirect.web-popup must be origins"),
        ("redirect.desktop = 'http://marker.example'", "clients.x.redirect.desktop must be https URLs"),
        (
            "origins = []\nredirect.web-popup = 'origin'",
            "clients.x.redirect.web-popup is origin, but the client has no",
        ),
    ],
)
def test_a_wrong_value_in_a_table_is_one_sentence(here: Path, line: str, sentence: str) -> None:
    """
    It names the key.
    """
    secrets = "" if line.startswith("secrets") else "secrets = 'client_secret.json'\n"
    (problem,) = problems(here, f"[clients.x]\n{secrets}{line}\n")

    assert problem.startswith(sentence)


def test_a_missing_file_is_one_problem_and_the_rest_is_still_read(here: Path) -> None:
    """
    What depends on the file is not told twice; what does not is told now.
    """
    lines = "redirect.web = true\nredirect.web-popup = 'origin'\nredirect.ios = 'marker'\nprovider = 'marker'"
    found = problems(here, f"[clients.x]\nsecrets = 'marker.json'\n{lines}\n")

    assert (
        "clients.x.secrets in grantkeeper.toml: the file does not exist",
        "clients.x.provider in grantkeeper.toml must be google or oidc",
        "clients.x.redirect.ios must be https URLs without fragment; plain http only on loopback",
    ) == found


def test_web_without_registered_addresses_cannot_be_enabled_by_true(here: Path) -> None:
    """
    There is nothing that it could stand for.
    """
    write(here / "client_secret.json", web(redirect_uris=None))
    found = problems(here, "[clients.x]\nsecrets = 'client_secret.json'\nredirect.web = true\n")

    assert ("clients.x.redirect.web is true, but the client file has no redirect_uris",) == found


@pytest.mark.parametrize("name", ["a b", "-a", "ä", "a" * 65, ""])
def test_a_clients_name_is_a_plain_word(here: Path, name: str) -> None:
    """
    It stands in addresses and on command lines.
    """
    (problem,) = problems(here, f"[clients.{json.dumps(name)}]\nsecrets = 'client_secret.json'\n")

    assert problem.startswith("a client's name may have")


@pytest.mark.parametrize("toml", ["clients = 5", "clients = []", "[clients]\ndefault = 'client_secret.json'"])
def test_clients_must_be_tables(here: Path, toml: str) -> None:
    """
    A string there is a common first guess.
    """
    found = problems(here, toml, CLIENT_SECRETS="client_secret.json")

    assert 1 == len(found)
    assert "in grantkeeper.toml must be" in found[0]


# -- CLIENT_SECRETS and ISSUER ------------------------------------------------------------------


def test_several_clients_fit_into_one_variable(here: Path) -> None:
    """
    ``name=path`` with commas between; a bare path is the default client, also one with = in it.
    """
    write(here / "other.json", web(client_id="222-other"))
    write(here / "a=b c.json", web(client_id="333-third"))
    found = settings(
        here,
        CLIENT_SECRETS="./client_secret.json, other = x.json ,web=other.json".replace(
            " other = x.json ,", ""
        ),
    )
    odd = settings(here, CLIENT_SECRETS="./a=b c.json")

    assert {"default": "111-abc.apps.googleusercontent.com", "web": "222-other"} == {
        name: client.client_id for name, client in found.clients.items()
    }
    assert {"default": "333-third"} == {name: client.client_id for name, client in odd.clients.items()}


@pytest.mark.parametrize(
    ("toml", "environ"),
    [
        ("[clients.default]\nsecrets = ['client_secret.json', 'new.json']", {}),
        ("", {"CLIENT_SECRETS": "client_secret.json,new.json"}),
        ("", {"CLIENT_SECRETS": "default=client_secret.json,default=new.json"}),
    ],
)
def test_two_files_of_one_client_are_its_two_secrets(here: Path, toml: str, environ: dict[str, str]) -> None:
    """
    While the secret is being changed; the first file's is first.
    """
    write(here / "new.json", web(client_secret="GOCSPX-new"))
    client = only(settings(here, toml, **environ))

    assert ["GOCSPX-marker", "GOCSPX-new"] == [secret.reveal() for secret in client.secrets]


def test_two_files_with_one_secret_are_one_secret(here: Path) -> None:
    """
    It is not tried twice.
    """
    assert 1 == len(only(settings(here, CLIENT_SECRETS="client_secret.json,client_secret.json")).secrets)


def test_two_secrets_must_be_of_one_client(here: Path) -> None:
    """
    Else codes of one would be redeemed by the other.
    """
    write(here / "other.json", web(client_id="222-other"))
    (problem,) = problems(here, CLIENT_SECRETS="client_secret.json,other.json")

    assert "GRANTKEEPER_CLIENT_SECRETS: the two files are of different clients" == problem


def test_one_oauth_client_has_one_name(here: Path) -> None:
    """
    Grants are kept by client id; two names for it would share them by accident.
    """
    (problem,) = problems(here, CLIENT_SECRETS="a=client_secret.json,b=client_secret.json")

    assert "clients.b is the same OAuth client as clients.a" == problem


def test_variables_change_what_a_table_says(here: Path) -> None:
    """
    Secrets and the default's issuer may come from the environment, the rest stays.
    """
    write(here / "other.json", web(client_id="222-other"))
    toml = "[clients.default]\nsecrets = 'gone.json'\nissuer = 'https://id.example'\nscopes = 'openid'\n"
    client = only(settings(here, toml, CLIENT_SECRETS="other.json", ISSUER="http://127.0.0.1:9999"))

    assert ("222-other", "http://127.0.0.1:9999") == (client.client_id, client.issuer)
    assert frozenset({"openid"}) == client.scopes
    assert Provider.GOOGLE is client.provider


def test_an_issuer_without_a_default_client_is_a_problem(here: Path) -> None:
    """
    Else it would be ignored, and real Google asked in its place.
    """
    (problem,) = problems(here, CLIENT_SECRETS="web=client_secret.json", ISSUER="http://127.0.0.1:9999")

    assert problem.startswith("GRANTKEEPER_ISSUER is for the client `default`")


def test_no_client_is_a_problem_unless_none_is_needed(here: Path) -> None:
    """
    `init` and `migrate` run before there is one.
    """
    with pytest.raises(SettingsInvalid, match="GRANTKEEPER_CLIENT_SECRETS must name"):
        load_settings({}, here)

    assert {} == load_settings({}, here, need_clients=False).clients


@pytest.mark.parametrize(
    "issuer", ["http://localhost:1", "http://127.0.0.1:1/x", "http://[::1]:1", "https://id.example"]
)
def test_an_issuer_on_plain_http_is_on_loopback(here: Path, issuer: str) -> None:
    """
    These are; the identifier is kept to the letter.
    """
    assert issuer == only(settings(here, ISSUER=issuer)).issuer


# -- client files ------------------------------------------------------------------------------

PLIST = b'<?xml version="1.0"?><plist><dict><key>CLIENT_ID</key><string>marker</string></dict></plist>'

WRONG_FILES: dict[str, tuple[bytes, str]] = {
    "an iOS plist": (PLIST, "property list of an iOS client"),
    "a binary plist": (b"bplist00marker", "property list of an iOS client"),
    "a service account": (
        b'{"type": "service_account", "private_key": "marker"}',
        "key of a service account",
    ),
    "a user's credentials": (
        b'{"type": "authorized_user", "refresh_token": "marker"}',
        "one user's credentials",
    ),
    "google-services.json": (
        b'{"project_info": {"project_id": "marker"}, "client": []}',
        "google-services.json",
    ),
    "nothing": (b"", "is not JSON"),
    "text": (b"marker", "is not JSON"),
    "cut off": (json.dumps({"web": WEB}).encode()[:-9], "is not JSON"),
    "not UTF-8": (b'{"web": "\xff"}', "is not JSON"),
    "a list": (b'["marker"]', "is not a JSON object"),
    "neither": (b'{"marker": {}}', "exactly one of `web` and `installed`"),
    "both": (json.dumps({"web": WEB, "installed": WEB}).encode(), "exactly one of `web` and `installed`"),
    "web of the wrong type": (b'{"web": ["marker"]}', "exactly one of `web` and `installed`"),
    "too deep": (b"[" * 100_000, "is not JSON"),
    "too large": (b" " * 300_000, "too large"),
    "no secret": (json.dumps(web(client_secret=None)).encode(), "has no client_secret; make one"),
    "an empty secret": (json.dumps(web(client_secret="")).encode(), "has no client_secret that could be one"),
    "a placeholder": (
        json.dumps(web(client_secret="[[marker]]")).encode(),
        "placeholder as its client_secret",
    ),
    "a placeholder id": (json.dumps(web(client_id="[[marker]]")).encode(), "placeholder as its client_id"),
    "an id of the wrong type": (json.dumps(web(client_id=["marker"])).encode(), "has no client_id"),
    "a blank in the id": (json.dumps(web(client_id="mar ker")).encode(), "has no client_id"),
    "redirects of the wrong type": (
        json.dumps(web(redirect_uris="marker")).encode(),
        "redirect_uris that are not a list",
    ),
    "redirects on plain http": (
        json.dumps(web(redirect_uris=["http://marker.example"])).encode(),
        "the file's redirect_uris must be https",
    ),
    "origins on plain http": (
        json.dumps(web(javascript_origins=["http://marker.example"])).encode(),
        "the file's javascript_origins must be https",
    ),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_wrong_file_is_told_apart_by_kind(here: Path, name: str) -> None:
    """
    The frequent mix-ups get a sentence that says which file is wanted; no content is quoted.
    """
    content, sentence = WRONG_FILES[name]
    (here / "client_secret.json").write_bytes(content)
    (problem,) = problems(here)

    assert problem.startswith("GRANTKEEPER_CLIENT_SECRETS: the file")
    assert sentence in problem


def test_a_byte_order_mark_is_no_reason_to_refuse(here: Path) -> None:
    """
    Some editors leave one.
    """
    (here / "client_secret.json").write_bytes(b"\xef\xbb\xbf" + json.dumps({"web": WEB}).encode())

    assert "shop" == only(settings(here)).project


def test_an_unreadable_client_file_is_a_problem(here: Path) -> None:
    """
    A directory cannot be read by anybody, root included.
    """
    (here / "client_secret.json").unlink()
    (here / "client_secret.json").mkdir()
    (problem,) = problems(here)

    assert problem.startswith("GRANTKEEPER_CLIENT_SECRETS: the file cannot be read (")


# -- from a program ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["path", "text", "document", "mapping", "mapping of documents", "table", "client", "clients"]
)
def test_a_program_names_clients_in_many_ways(here: Path, kind: str) -> None:
    """
    They all come to the same client.
    """
    path = here / "client_secret.json"
    expected = clients_from(path, issuer="http://127.0.0.1:9")["default"]
    given: dict[str, Any] = {
        "path": path,
        "text": str(path),
        "document": {"web": WEB},
        "mapping": {"default": path},
        "mapping of documents": {"default": {"web": WEB}},
        "table": {"default": {"secrets": [path]}},
        "client": expected,
        "clients": [expected],
    }

    assert {"default": expected} == clients_from(given[kind], issuer="http://127.0.0.1:9")


def test_clients_may_be_called_web_and_installed(here: Path) -> None:
    """
    A mapping from names is not taken for a client file.
    """
    write(here / "other.json", web(client_id="222-other"))
    found = clients_from({"web": "client_secret.json", "installed": "other.json"}, directory=here)

    assert ["web", "installed"] == list(found)


def test_a_client_takes_the_name_it_is_given(here: Path) -> None:
    """
    The mapping's name counts.
    """
    client = clients_from({"web": WEB})["default"]

    assert "shop" == clients_from({"shop": client})["shop"].name


def test_a_tables_issuer_stands_over_the_common_one(here: Path) -> None:
    """
    The nearer one wins.
    """
    table = {"secrets": {"web": WEB}, "issuer": "https://id.example"}

    assert "https://id.example" == clients_from({"x": table}, issuer="http://127.0.0.1:9")["x"].issuer


def test_wrong_clients_of_a_program_are_told_at_once(here: Path) -> None:
    """
    With the places it knows.
    """
    with pytest.raises(SettingsInvalid) as caught:
        clients_from({"a": here / "marker.json", "b": {"secrets": {"web": WEB}, "provider": "marker"}})
    with pytest.raises(SettingsInvalid, match="no client is given"):
        clients_from([])

    assert (
        "clients.a.secrets: the file does not exist",
        "clients.b.provider must be google or oidc",
    ) == caught.value.problems


def test_a_program_gives_settings_by_name(here: Path) -> None:
    """
    As they would be written, or as what they mean; nothing of the environment is read.
    """
    found = Settings.of(
        "client_secret.json",
        directory=here,
        database_url="sqlite:///grants.db",
        keys=here / "my-keys.json",
        issuer="http://127.0.0.1:9",
        clock_file="clock",
        redeem_limit=None,
    )

    assert here / "grants.db" == found.database_file
    assert (here / "my-keys.json", here / "clock") == (found.keys, found.clock_file)
    assert "http://127.0.0.1:9" == only(found).issuer
    assert Rate(120, 60.0) == found.redeem_limit


def test_wrong_settings_of_a_program_are_told_at_once(here: Path) -> None:
    """
    Values, clients and the clock together; a name that does not exist is the program's mistake.
    """
    with pytest.raises(SettingsInvalid) as caught:
        Settings.of("marker.json", directory=here, log_format="marker", database_url="marker")
    with pytest.raises(TypeError, match="there is no setting kyes; did you mean keys"):
        Settings.of("client_secret.json", directory=here, kyes="x")
    with pytest.raises(SettingsInvalid, match="clock_file is for tests"):
        Settings.of("client_secret.json", directory=here, clock_file="clock")

    assert ["clients.default.secrets:", "database_url", "log_format"] == sorted(
        problem.split(" ")[0] for problem in caught.value.problems
    )


# -- the tables --------------------------------------------------------------------------------


def test_the_table_and_the_record_agree() -> None:
    """
    What can be set is what `Settings` has, and what design section 6 lists.
    """
    fields = {field.name for field in dataclasses.fields(Settings)}
    listed = (
        "DATABASE_URL CLIENT_SECRETS ISSUER KEYS KEYS_WRAPPED_BY PUBLIC_URL PROXY_HOSTS TRUSTED_PROXIES "
        "JOURNAL_DIR CLOCK_FILE JOBS_APP URL CALLER_KEY_FILE STATEMENT_CACHE LISTEN_URL CONDEMN_LIMIT "
        "REDEEM_LIMIT LOG_FORMAT"
    )
    keys = "secrets issuer provider origins app_client_ids scopes return_to redirect.<source>"

    assert fields == {setting.name for setting in SETTINGS} - {"client_secrets", "issuer"} | {"clients"}
    assert {f"GRANTKEEPER_{name}" for name in listed.split()} == {setting.environment for setting in SETTINGS}
    assert keys.split() == [setting.name for setting in CLIENT_SETTINGS]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: str(setting.name))
def test_every_setting_has_a_sentence(setting: Any) -> None:
    """
    The reference page is made of them.
    """
    assert setting.sentence.endswith(".")
    assert setting.default is None or setting.parse(setting.default, Path()) is not None


def test_importing_settings_loads_nothing_heavy() -> None:
    """
    The command line's ``--help`` must not wait for cryptography, web servers or databases.
    """
    script = "import sys, grantkeeper.settings; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"aiohttp", "apsw", "asyncio", "cryptography", "joserfc", "starlette", "structlog", "tink"}

    assert set() == heavy & set(done.stdout.split())
