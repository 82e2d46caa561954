"""The settings: what may be written, what it becomes, and that every problem is told at once."""

import dataclasses
import json
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from grantkeeper.backoff import CondemnLimit
from grantkeeper.errors import SettingsInvalid
from grantkeeper.settings import SETTINGS, Settings, load_settings
from grantkeeper.settings_clients import CLIENT_SETTINGS
from grantkeeper.settings_values import Rate
from tests.settings_files import WEB, problems, settings, write


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory with one web client's file."""
    write(tmp_path / "client_secret.json", {"web": WEB})
    return tmp_path


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

    # A KMS is refused in this release, see below.
    assert {setting.name for setting in SETTINGS} - {"keys_wrapped_by"} == written.keys()
    assert by_file == by_variable
    assert here / "safe/keys.json" == by_variable.keys
    assert "https://grants.example" == by_variable.public_url
    assert frozenset({"www.googleapis.com", "photoslibrary.googleapis.com"}) == by_variable.proxy_hosts
    assert (ip_network("10.0.0.0/8"), ip_network("::1")) == by_variable.trusted_proxies
    assert (0, "shop.jobs:app") == (by_variable.statement_cache, by_variable.jobs_app)
    assert CondemnLimit(10, 0.5) == by_variable.condemn_limit
    assert (here / "clock", here / "caller.key") == (by_variable.clock_file, by_variable.caller_key_file)


def test_a_kms_is_refused_with_the_news_that_it_comes_later(here: Path) -> None:
    """
    Nobody may believe keys.json to be sealed while it lies open.
    """
    (problem,) = problems(here, KEYS_WRAPPED_BY="gcp-kms://marker/key")

    assert "GRANTKEEPER_KEYS_WRAPPED_BY" in problem
    assert "extras `gcpkms`" in problem
    assert "marker" not in problem


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
    ("url", "expected"),
    [
        (
            "postgresql://u:p%40ss@db:5432/g?sslmode=require",
            "postgresql://u:p%40ss@db:5432/g?sslmode=require",
        ),
        ("postgres://db/g", "postgresql://db/g"),
        ("postgresql:///g?host=/run/postgresql", "postgresql:///g?host=/run/postgresql"),
    ],
)
def test_a_postgresql_url_is_kept_as_libpq_reads_it(here: Path, url: str, expected: str) -> None:
    """
    It is no file; the journal lies in the working directory then.
    """
    found = settings(here, DATABASE_URL=url)

    assert (expected, None) == (found.database_url, found.database_file)
    assert here / "journal" == found.journal_dir


@pytest.mark.parametrize(
    "url", ["postgresql+asyncpg://u:marker@db/g", "postgresql:u:marker", "postgres://", "mysql://u:marker@db"]
)
def test_what_is_no_url_of_a_database_is_told_without_it(here: Path, url: str) -> None:
    """
    The value may hold a password.
    """
    (problem,) = problems(here, DATABASE_URL=url)

    assert "postgresql://user:password@host/database" in problem
    assert "marker" not in problem


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
    url = "postgresql://user:marker@direct/grants"
    shown = repr(settings(here, LISTEN_URL=url, DATABASE_URL=url))

    assert "marker" not in shown


def test_settings_are_frozen(here: Path) -> None:
    """
    Made once at the edge.
    """
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings(here).log_format = "json"  # type: ignore[misc]


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
