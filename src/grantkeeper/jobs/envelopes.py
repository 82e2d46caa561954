"""
Addresses that open something by themselves, closed for as long as a job's code holds them.

What a step returns stands in the engine's tables, and a resumable upload's address is written to without
any token. So a job gets it closed, and only its own requests open it again. The key is the job's: it stands
in its row and goes with it. An upload whose address no longer opens begins anew.
"""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from grantkeeper.errors import SealBroken
from grantkeeper.jobs.row import Row
from grantkeeper.model import seal_owner
from grantkeeper.ports import SealContext, Sealer

PREFIX: Final = "closed:"
FIELD: Final = "address"


class Envelopes:
    """
    Those of one run of a job; belongs to the keeper's loop.

    Args:
        writing: Held by whoever writes the row beside the run.
    """

    def __init__(self, sealer: Sealer, row: Row, writing: asyncio.Lock) -> None:
        self._sealer = sealer
        self._row = row
        self._writing = writing

    async def closed(self, url: str) -> str:
        """
        *url* in an envelope that opens in this job alone.

        Raises:
            Suspended: The job was cancelled or erased.
            StoreUnavailable: Its first key cannot be kept now.
        """
        async with self._writing:
            key = self._row.job.seal_key
            if key is None:
                key = self._sealer.new_key("", self._owner)
                await self._row.change(quiet=True, seal_key=key)
        return PREFIX + urlsafe_b64encode(self._sealer.seal(key, url, self._context)).decode()

    def opened(self, url: str) -> str:
        """
        What is in it; an address in none is what it is.

        Raises:
            SealBroken: It is another job's, or its key is gone.
        """
        if not url.startswith(PREFIX):
            return url
        key = self._row.job.seal_key
        if key is None:
            raise SealBroken(f"{self._owner} has no key any more")
        try:
            box = urlsafe_b64decode(url.removeprefix(PREFIX))
        except ValueError:
            raise SealBroken(f"an address of {self._owner} is damaged") from None
        return self._sealer.unseal(key, box, self._context)

    @property
    def _owner(self) -> str:
        return seal_owner(self._row.job.id)

    @property
    def _context(self) -> SealContext:
        return SealContext("", self._owner, FIELD)
