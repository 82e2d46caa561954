"""grantkeeper itself as a target: what `python -m grantkeeper.testing.race` runs, and a model for others."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import grantkeeper
from grantkeeper.testing.google import Code
from grantkeeper.testing.processes import without_settings
from grantkeeper.testing.race.target import Ask, Place, Target


class Grantkeeper(Target):
    """
    ``grantkeeper serve``, on SQLite in the folder of the race or on *database_url*.

    Args:
        database_url: Of an empty database.
        program: What is run in the place of ``python -m grantkeeper.cli``.
    """

    name = "grantkeeper"

    def __init__(self, database_url: str = "sqlite:///grants.db", program: Sequence[str] = ()) -> None:
        self._database_url = database_url
        self._program = [*(program or (sys.executable, "-m", "grantkeeper.cli"))]
        self._key = ""

    def prepare(self, place: Place) -> None:
        for command in (["init"], ["migrate"]):
            self._run(place, *command)
        self._key = json.loads(self._run(place, "callers", "create", "race", "--json"))["key"]

    def command(self, place: Place) -> Sequence[str]:
        return [*self._program, "serve", "--port", "0"]

    def environment(self, place: Place) -> Mapping[str, str]:
        package = str(Path(grantkeeper.__file__).parent.parent)
        return without_settings() | {
            # Children see the package that we see, whatever their folder.
            "PYTHONPATH": package,
            "GRANTKEEPER_CLIENT_SECRETS": str(place.google.client_secret),
            "GRANTKEEPER_CLOCK_FILE": str(place.google.clock_file),
            "GRANTKEEPER_DATABASE_URL": self._database_url,
            "GRANTKEEPER_ISSUER": place.google.issuer,
            "GRANTKEEPER_LOG_FORMAT": "json",
            "GRANTKEEPER_REDEEM_LIMIT": "1000000/minute",
        }

    def sign_in(self, place: Place, url: str, code: Code) -> str:
        request = Request(  # noqa: S310 - the address is our own
            f"{url}/v1/redeem",
            data=json.dumps({"code": code}).encode(),
            headers={"content-type": "application/json", "x-requested-with": "race"},
        )
        with build_opener(ProxyHandler({})).open(request, timeout=60) as answer:
            return str(json.loads(answer.read())["grant"]["id"])

    def ask(self, grant: str) -> Ask:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        return Ask("/v1/token", json.dumps({"grant": grant}).encode(), headers)

    def _run(self, place: Place, *arguments: str) -> str:
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "grantkeeper.cli", *arguments],
            cwd=place.folder,
            env=dict(self.environment(place)),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"grantkeeper {arguments[0]} failed: {done.stderr}")
        return done.stdout
