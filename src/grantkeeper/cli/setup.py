"""Making an installation and running it: init, migrate, serve, emulator."""

from pathlib import Path
from typing import TYPE_CHECKING

from grantkeeper.cli.common import HUMAN, OK, Manner, answer, hint, say, settings, with_store
from grantkeeper.errors import SettingsInvalid

if TYPE_CHECKING:
    from grantkeeper.settings import Settings

CONFIG = "grantkeeper.toml"
KEYS = "keys.json"

TEMPLATE = """\
# Settings of grantkeeper. Every name here may also come from the environment,
# as GRANTKEEPER_ and the name in capitals, which wins.

# A file on this machine. For several machines: "postgresql://user:password@host/database", then
# `grantkeeper migrate`.
database_url = "sqlite:///grantkeeper.db"

# Needed to open anything in the database. Keep a copy apart from it: without
# this file every user must sign in again.
keys = "keys.json"

# The file that the Google Cloud console gives for your *web* client.
{clients}
# Our own address as apps and browsers reach it. Session tokens and the redirect
# flow need it.
# public_url = "https://auth.example.com"
"""


def init(*, manner: Manner = HUMAN) -> int:
    """
    Make keys.json and grantkeeper.toml here, and the database; what exists is left as it is.
    """
    from grantkeeper.adapters.sealing import generate_keys
    from grantkeeper.keeper.nodes import take_over
    from grantkeeper.library import adapters

    here = Path.cwd()
    made: list[str] = []
    if not (here / CONFIG).exists():
        _create(here / CONFIG, TEMPLATE.format(clients=_clients_line(here)))
        made.append(CONFIG)
    found = settings()
    new_keys = not found.keys.exists()
    if new_keys:
        if _has_grants(found):
            raise SettingsInvalid(
                [f"the database has grants, and {_named(found.keys, here)} that opens them is not there"],
                hint="Give back the keys.json that sealed it; a new one would open none of them.",
            )
        now = adapters.clock(found).now()
        generate_keys(found.keys, found.keys_wrapped_by, name=f"{now:%Y-%m-%d}", now=now)
        made.append(_named(found.keys, here))
    _migrate()
    if new_keys:
        sealer, now = adapters.sealer(found), adapters.clock(found).now()
        # Whoever comes with other keys is foreign here from now on.
        with_store(lambda store: take_over(store, sealer, now))
    if manner.json:
        answer({"made": made, "database": "migrated", "keys": str(found.keys)})
        return OK
    for name in made:
        say(f"made {name}")
    say("the database is ready")
    if not found.clients:
        hint(f"Put your client_secret_*.json beside {CONFIG} and name it there as client_secrets.")
    hint(
        "grantkeeper callers create NAME makes a key for your backend; grantkeeper serve starts the service."
    )
    return OK


def migrate(*, manner: Manner = HUMAN) -> int:
    """
    Bring the database to this release's schema; nodes that run meanwhile are not disturbed.

    A SQLite file is migrated by whoever opens it first, PostgreSQL by this command alone.
    """
    _migrate()
    if manner.json:
        answer({"database": "migrated"})
    else:
        say("the database is ready")
    return OK


def serve(*, host: str = "127.0.0.1", port: int = 8000, workers: int = 1, manner: Manner = HUMAN) -> int:
    """
    Run the service until it is told to stop.

    Parameters
    ----------
    host
        The address to listen on.
    port
        The port to listen on.
    workers
        How many processes serve; each is a full node.
    """
    from grantkeeper.errors import InvalidRequest
    from grantkeeper.server.serve import serve as run

    if workers < 1:
        raise InvalidRequest("--workers must be 1 or more")
    _check_port(port)
    return run(settings(need_clients=True), host=host, port=port, workers=workers)


def emulator(
    *,
    port: int = 8085,
    host: str = "127.0.0.1",
    clock_file: Path | None = None,
    issuer: str | None = None,
    manner: Manner = HUMAN,
) -> int:
    """
    Run Google's side, for development and tests, until it is told to stop.

    Parameters
    ----------
    port
        The port to listen on; 0 takes a free one.
    host
        The address to listen on; keep it on this machine.
    clock_file
        Share a clock that POST /emulator/clock moves, through this file.
    issuer
        What ID tokens name as issuer, where a verifier insists on Google's.
    """
    from grantkeeper.emulator.runner import listen, run_on
    from grantkeeper.server.serve import listening

    _check_port(port)
    if issuer is not None:
        _check_issuer(issuer)
    if clock_file is not None:
        _check_clock_file(clock_file)
    with listening(host, port):
        listener, address = listen(host, port)

    def ready(url: str) -> None:
        if manner.json:
            answer({"url": url})
        else:
            say(f"the emulator of Google is at {url}; open it for its pages and controls")

    run_on(listener, address, clock_file, issuer, ready)
    return OK


def _check_port(port: int) -> None:
    from grantkeeper.errors import InvalidRequest

    if not 0 <= port <= 65535:
        raise InvalidRequest("--port must be 0 to 65535")


def _check_issuer(issuer: str) -> None:
    """What no keeper would take as an issuer is no use in a token either."""
    from grantkeeper.errors import InvalidRequest
    from grantkeeper.settings_values import issuer as known

    try:
        known(issuer, Path())
    except ValueError as error:
        raise InvalidRequest(f"--issuer {error}") from None


def _check_clock_file(path: Path) -> None:
    """It is made now if it is not there, as the emulator would do."""
    from grantkeeper.emulator.clock import MovableClock

    try:
        MovableClock(path).close()
    except OSError as error:
        raise SettingsInvalid(
            [f"--clock-file {path} cannot be written: {error.strerror}"],
            hint="Name a file in a folder that exists and that you may write to.",
        ) from None


def _create(path: Path, text: str) -> None:
    """Write a new file; one that has appeared meanwhile is left alone."""
    with path.open("x", encoding="utf-8") as file:
        file.write(text)


def _named(path: Path, here: Path) -> str:
    """*path* as a person in *here* would write it."""
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _clients_line(here: Path) -> str:
    found = sorted(here.glob("client_secret*.json"))
    if len(found) == 1:
        return f'client_secrets = "{found[0].name}"\n'
    return '# client_secrets = "client_secret.json"\n'


def _migrate() -> None:
    import asyncio

    from grantkeeper.library import adapters

    asyncio.run(adapters.migrate(settings()))


def _has_grants(found: "Settings") -> bool:
    from grantkeeper.ports import GrantQuery

    if found.database_file is None:
        _migrate()  # what another release made can be read only then
    elif not found.database_file.exists():
        return False
    return bool(with_store(lambda store: store.search(GrantQuery(limit=1))))
