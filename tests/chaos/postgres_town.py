"""
A town on one PostgreSQL: as many nodes as wanted, and a server that can be shut down under them.

What is asked of the database here is asked directly and never through the product.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg

from tests.chaos.town import Town
from tests.postgres import PostgresServer


class PostgresTown(Town):
    """
    Emulator, PostgreSQL and nodes.

    Args:
        server: Runs already; the town takes a new database on it.
        rotating: Whether the issuer gives a new refresh token with every refresh and ends a grant
            whose old one comes again.
    """

    def __init__(
        self, folder: Path, server: PostgresServer, *, rotating: bool = False, patient: bool = False
    ) -> None:
        super().__init__(folder, patient=patient)
        self.server = server
        self.rotating = rotating
        self.url = server.url(server.create())

    @property
    def database(self) -> str:
        return self.url

    @property
    def client_settings(self) -> str:
        # Whoever rotates is not Google: what is known of Google's tokens does not hold for it.
        return 'provider = "oidc"\n' if self.rotating else ""

    def prepare_issuer(self) -> None:
        if self.rotating:
            client = json.loads((self.folder / "client_secret.json").read_text(encoding="utf-8"))["web"]
            self.google.call("PATCH", "clients", {"client_id": client["client_id"], "rotation": True})

    def check_file(self) -> None:
        """The database is whole: every row can be read, and every reference holds."""
        assert self.ask("SELECT count(*) FROM tokens WHERE grant_id NOT IN (SELECT id FROM grants)") == [(0,)]

    def lapse(self) -> None:
        self.ask("UPDATE redemptions SET claimed_until = '-infinity' WHERE state = 'claimed'")

    def job_rows(self) -> list[str]:
        tables = self.ask(
            "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname = 'grantkeeper_jobs'"
            " OR (schemaname = current_schema() AND tablename IN ('jobs', 'erased_jobs'))"
        )
        rows = []
        for (table,) in tables:
            rows += [f"{table} {row}" for (row,) in self.ask(f"SELECT t::text FROM {table} AS t")]
        return rows

    # -- the database -----------------------------------------------------------------------------

    def ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement, on a connection of its own."""

        async def asked() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(self.url)
            try:
                return [tuple(row) for row in await connection.fetch(statement, *values)]
            finally:
                await connection.close()

        return asyncio.run(asked())

    def newest_event(self) -> int:
        """The number of the last audit event."""
        return int(self.ask("SELECT coalesce(max(seq), 0) FROM audit")[0][0])

    def events(self, name: str, after: int) -> Mapping[str, int]:
        """How many events of that name each grant has after that number."""
        rows = self.ask(
            "SELECT grant_id, count(*) FROM audit WHERE name = $1 AND seq > $2 GROUP BY grant_id", name, after
        )
        return Counter(dict(rows))

    def states(self) -> Mapping[tuple[str, str | None], int]:
        """How many grants are in which state, for which reason."""
        rows = self.ask("SELECT state, reason, count(*) FROM grants GROUP BY state, reason")
        return Counter({(state, reason): count for state, reason, count in rows})
