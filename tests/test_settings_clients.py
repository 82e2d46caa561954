"""The clients of the settings: tables, variables, redirects, and clients that a program names itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from grantkeeper.errors import SettingsInvalid
from grantkeeper.model import Client, Provider, Source
from grantkeeper.protocol.scopes import EMAIL
from grantkeeper.secret import ClientSecret
from grantkeeper.settings import Settings, load_settings
from grantkeeper.settings_clients import clients_from
from grantkeeper.settings_values import Rate
from tests.settings_files import WEB, only, problems, settings, web, write


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory with one web client's file."""
    write(tmp_path / "client_secret.json", {"web": WEB})
    return tmp_path


# -- clients -----------------------------------------------------------------------------------


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
    with pytest.raises(
        SettingsInvalid, match="client_secrets in grantkeeper.toml, or GRANTKEEPER_CLIENT_SECRETS, must name"
    ):
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
