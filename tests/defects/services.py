"""Real processes of the service, with or without a mutant in them, and Google's emulator behind."""

import asyncio
import secrets
import sys
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

import grantkeeper
from grantkeeper.adapters.sealing import generate_keys
from grantkeeper.model import Caller
from grantkeeper.testing.google import GoogleEmulator
from grantkeeper.testing.processes import Process, without_settings
from tests.chaos.calls import Calls, away
from tests.defects.databases import Database

ROOT = Path(__file__).parent.parent.parent
PACKAGE = Path(grantkeeper.__file__).parent.parent


class Services:
    """
    Nodes on one database.

    Attributes:
        mutant: What every node that is started from now on has in it.
        calls: What a phone and a backend send.
    """

    def __init__(self, folder: Path, database: Database, google: GoogleEmulator) -> None:
        self.folder = folder
        self.google = google
        self.mutant: str | None = None
        self.nodes: list[Process] = []
        self._database = database
        self._key = "gk_" + secrets.token_urlsafe(32)
        self.calls = Calls(self._key)

    async def __aenter__(self) -> Self:
        generate_keys(self.folder / "keys.json")
        store = await self._database.open()
        digest = sha256(self._key.encode()).digest()
        await store.add_caller(
            Caller(id="proof", name="proof", key_hash=digest, created_at=datetime.now(UTC))
        )
        await store.close()
        await self.calls.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes:
            if node.alive:
                node.signal()
        for node in self.nodes:
            await away(node.stop)
        await self.calls.__aexit__(kind, error, trace)

    async def start(self, count: int) -> None:
        """*count* more nodes, all ready."""
        environment = without_settings() | {
            "PYTHONPATH": f"{PACKAGE}:{ROOT}",
            "GRANTKEEPER_CLIENT_SECRETS": str(self.google.client_secret),
            "GRANTKEEPER_CLOCK_FILE": str(self.google.clock_file),
            "GRANTKEEPER_DATABASE_URL": self._database.url,
            "GRANTKEEPER_ISSUER": self.google.issuer,
        }
        serve = ["-m", "grantkeeper.cli"] if self.mutant is None else ["-m", "tests.mutants", self.mutant]
        for _ in range(count):
            log = self.folder / f"node-{len(self.nodes)}.log"
            command = [sys.executable, *serve, "serve", "--port", "0"]
            self.nodes.append(Process(command, folder=self.folder, environment=environment, log=log))
        for node in self.nodes:
            await away(node.ready)

    async def sign_in(self, email: str) -> str:
        """A new grant's id."""
        answer = await self.calls.redeem(self.nodes[0].url, await away(self.google.code, email))
        assert 200 == answer.status, answer
        return str(answer.body["grant"]["id"])

    async def ask_all(self, grant: str, each: int) -> list[str]:
        """*each* requests at every node at once: the tokens, or the codes of errors."""
        answers = await asyncio.gather(
            *(self.calls.token(node.url, grant) for _ in range(each) for node in self.nodes)
        )
        return [str(one.body.get("access_token", one.error)) for one in answers]

    async def refreshes(self) -> int:
        """How many refreshes Google has seen, however they ended."""
        stats = await away(self.google.stats)
        return sum(stats["token"]["refresh_token"].values())
