"""
The issuer of a measurement: ``grantkeeper emulator`` in a process of its own, with people who sign in.

What it mints is asked for before a measurement begins, by the load generator:
thousands of codes take seconds.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from bench import servers
from bench.load import Load, send
from bench.servers import Server
from bench.stage import Person, Registration
from grantkeeper.secret import RefreshToken
from grantkeeper.testing.google import GoogleEmulator

CLOCK = "clock"
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
HOUR = 3700.0
"""Seconds after which every access token of the emulator is over."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """
    A running emulator.

    Attributes:
        clock_file: The clock that `advance` moves, for whoever follows it.
    """

    server: Server
    control: GoogleEmulator
    clock_file: Path
    client: dict[str, str]

    @property
    def url(self) -> str:
        """Its address, which is also its name as an issuer."""
        return self.server.url

    @property
    def token_uri(self) -> str:
        """Its token endpoint."""
        return f"{self.url}/token"

    @property
    def registration(self) -> Registration:
        """Our client there."""
        return Registration(self.client["client_id"], self.url, json.dumps({"web": self.client}))

    @property
    def settings(self) -> dict[str, str]:
        """What a service needs to know to use it, and to be asked for much."""
        return {
            "GRANTKEEPER_ISSUER": self.url,
            "GRANTKEEPER_CLOCK_FILE": str(self.clock_file),
            "GRANTKEEPER_REDEEM_LIMIT": "1000000/second",
        }

    def codes(self, emails: list[str]) -> list[str]:
        """A code of each, as a phone would bring it: the consent page was shown."""
        bodies = [json.dumps({"email": email, "force": True}) for email in emails]
        kept = self._asked("/emulator/code", bodies, JSON)
        return [json.loads(answer)["code"] for answer in kept]

    def people(self, count: int, name: str = "person") -> list[Person]:
        """So many accounts, each with a refresh token that works."""
        emails = [f"{name}.{number}@example.com" for number in range(count)]
        bodies = [
            urlencode(
                {
                    "grant_type": "authorization_code",
                    "code": code,
                    "redirect_uri": "",
                    "client_id": self.client["client_id"],
                    "client_secret": self.client["client_secret"],
                }
            )
            for code in self.codes(emails)
        ]
        subs = {user["email"]: user["sub"] for user in self.control.get("users")}
        answers = [json.loads(answer) for answer in self._asked("/token", bodies, FORM)]
        return [
            Person(subs[email], email, RefreshToken(answer["refresh_token"]))
            for email, answer in zip(emails, answers, strict=True)
        ]

    def refreshes(self) -> int:
        """How many refreshes it has answered well so far."""
        return self.control.count("token", "refresh_token")

    def expire(self) -> None:
        """Every access token there is has ended, for all who follow the clock."""
        self.control.advance(HOUR)

    def _asked(self, path: str, bodies: list[str], headers: dict[str, str]) -> list[str]:
        load = Load(
            urls=[self.url + path], bodies=bodies, headers=headers, connections=4, seconds=None, keep=True
        )
        return send(load).kept


@contextmanager
def issuer(directory: Path) -> Iterator[Issuer]:
    """A new emulator in *directory*, which exists."""
    clock_file = directory / CLOCK
    with servers.emulator(directory, clock_file) as server:
        control = GoogleEmulator(server.url)
        yield Issuer(server, control, clock_file, control.get("client_secret.json")["web"])
