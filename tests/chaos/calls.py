"""The calls of a phone and of a backend, many at once, and honest about those without an answer."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp

LIMIT = 90.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; *status* 0 where none came, because the other side died."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def error(self) -> str:
        """The error's code, ``ok``, or ``no_answer``."""
        if self.status == 0:
            return "no_answer"
        return "ok" if self.status == 200 else str(self.body.get("error", self.status))


class Calls:
    """
    Sends every request on a connection of its own, so that any process of a node may take it.

    Args:
        together: Requests under way at most, over connections that are kept; 0 is as said above.
    """

    def __init__(self, caller_key: str, *, together: int = 0) -> None:
        self._key = {"authorization": f"Bearer {caller_key}"}
        self._together = together
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(force_close=not self._together, limit=self._together)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=LIMIT))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def _send(self, method: str, url: str, headers: Mapping[str, str], body: object = None) -> Answer:
        assert self._session is not None
        try:
            async with self._session.request(method, url, json=body, headers=headers) as answer:
                text = await answer.text()
                return Answer(answer.status, json.loads(text) if text else {})
        except (aiohttp.ClientError, ConnectionError):
            return Answer(0)

    async def redeem(self, url: str, code: str, key: str | None = None) -> Answer:
        """A phone posts its code."""
        headers = {"x-requested-with": "chaos"} | ({} if key is None else {"idempotency-key": key})
        return await self._send("POST", f"{url}/v1/redeem", headers, {"code": code})

    async def token(self, url: str, grant: str) -> Answer:
        """A backend asks for an access token."""
        return await self._send("POST", f"{url}/v1/token", self._key, {"grant": grant})

    async def describe(self, url: str, grant: str) -> Answer:
        """A backend asks how a grant is."""
        return await self._send("GET", f"{url}/v1/grants/{grant}", self._key)

    async def revoke(self, url: str, grant: str) -> Answer:
        """A backend ends a grant."""
        return await self._send("POST", f"{url}/v1/grants/{grant}/revoke", self._key)

    async def subject(self, google: str, access_token: str) -> str | None:
        """Whose token it is, if Google takes it."""
        answer = await self._send(
            "GET", f"{google}/oauth2/v3/userinfo", {"authorization": f"Bearer {access_token}"}
        )
        return str(answer.body["sub"]) if answer.status == 200 else None


async def away(work: Any, *arguments: Any, **options: Any) -> Any:
    """A blocking call of the town's, beside the loop."""
    return await asyncio.to_thread(work, *arguments, **options)
