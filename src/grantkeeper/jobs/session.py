"""
Requests to Google's APIs in the name of a job's user.

The token goes to Google's hosts and nowhere else. A quota that is used up is everybody's
business: it is written down as a pause that all workers keep, so that no other job runs into
the same wall; who has to wait longer than a moment gives his place to others. A pause after which
nothing goes yet is followed by one twice as long, until something does.
"""

import asyncio
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import msgspec

from grantkeeper.errors import (
    AnswerTooLarge,
    ApiError,
    ApiMisbehaved,
    ApiUnavailable,
    HttpFailed,
    InvalidRequest,
    Quota,
    QuotaExceeded,
    StoreConflict,
    StoreUnavailable,
    TokenRefused,
)
from grantkeeper.jobs.envelopes import Envelopes
from grantkeeper.jobs.failures import quota_pause
from grantkeeper.jobs.foreign import answered
from grantkeeper.jobs.means import Means
from grantkeeper.model import Job, Token
from grantkeeper.protocol.api import api_failure, unanswered
from grantkeeper.protocol.api_request import LARGEST_ANSWER, SAFE_METHODS, is_googles
from grantkeeper.protocol.message import HttpRequest, HttpResponse
from grantkeeper.protocol.rejected import fingerprint
from grantkeeper.secret import AccessToken

SHORT_WAIT: Final = 5.0
"""Seconds that are waited in place; longer ones are left to the job's row."""

TRIES: Final = 4
"""How often a request is sent that may be sent again."""

FIRST_PAUSE: Final = 0.5

LONGEST_NEED: Final = 600
"""Seconds that a token is to live at most: more than Google gives would have each request renew it."""

_WRITTEN: Final = re.compile(r"(https?)://([A-Za-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?([/?][!-~]*)?")
"""A URL about whose host no two readers differ: no user, no backslash, nothing that is stripped."""


class UserSession:
    """
    The `grantkeeper.google.Session` of one job.

    Attributes:
        cut_at: When this run began, if the one before it ended without a word.
        given: The tokens that it has seen, so that nobody quotes them.
    """

    def __init__(self, means: Means, job: Job, envelopes: Envelopes | None = None) -> None:
        self._means = means
        self._job = job
        self._envelopes = envelopes
        self.cut_at: datetime | None = None
        self.given: list[AccessToken] = []
        self._over: set[str] = set()
        """Keys of pauses after which another client sent something; nobody knows with what success."""

    def now(self) -> datetime:
        """The keeper's time."""
        return self._means.clock.now()

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(max(0.0, seconds))

    async def closed(self, url: str) -> str:
        """See `grantkeeper.google.session.Closing`."""
        return url if self._envelopes is None else await self._envelopes.closed(url)

    async def token(self, min_ttl: int, rejected: str | None = None) -> Token:
        """A token that opens what the job named, and lives so long."""
        token = await self._means.tokens.token(
            self._job.grant_id, self._job.scopes or None, min_ttl, rejected
        )
        if token.access_token not in self.given:
            self.given.append(token.access_token)
        return token

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        json: Any = None,
        seconds: float = 60.0,
        largest: int = LARGEST_ANSWER,
        idempotent: bool | None = None,
        accept: Collection[int] = frozenset(),
    ) -> HttpResponse:
        """
        See `grantkeeper.google.Session.request`; the same errors, and of an address that is `closed`:

        Raises:
            SealBroken: It does not open.
        """
        if self._envelopes is not None:
            url = self._envelopes.opened(url)
        host = self._allowed(url)
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        if json is not None:
            body = msgspec.json.encode(json)
            sent.setdefault("content-type", "application/json")
        again = method.upper() in SAFE_METHODS if idempotent is None else idempotent
        refused: str | None = None
        for attempt in range(TRIES):
            over = await self._turn(host)
            # Google looks at the token when a request begins, however long that then takes.
            token = await self.token(min(int(seconds) + 60, LONGEST_NEED), refused)
            sent["authorization"] = f"Bearer {token.access_token.reveal()}"
            try:
                answer = await self._send(
                    HttpRequest(method, url, body, dict(sent)), host, seconds, largest, accept
                )
            except TokenRefused:
                # Nothing was done. A second new token that is refused is no matter of tokens.
                if refused is not None or attempt + 1 == TRIES:
                    raise
                refused = fingerprint(token.access_token)
            except ApiUnavailable as error:
                may = again or not error.may_have_arrived
                pause = error.retry_after or FIRST_PAUSE * 2**attempt * (0.5 + self._means.dice.roll() / 2)
                if not may or attempt + 1 == TRIES or pause > SHORT_WAIT:
                    raise
                await asyncio.sleep(pause)
            except QuotaExceeded as error:
                wait = await self._used_up(host, error)
                if attempt + 1 == TRIES or wait > SHORT_WAIT:
                    raise
            else:
                await self._helped(over)
                return answer
        raise AssertionError("the last try returns or raises")

    # -- requests of others' clients ------------------------------------------------------------

    async def turn(self, url: str) -> None:
        """
        Leave for a request that another client sends; at once where it does not go to Google.

        Raises:
            QuotaExceeded: The wait is longer than a moment.
        """
        with suppress(InvalidRequest):
            self._over.update(await self._turn(self._allowed(url)))

    async def foreign(self, error: BaseException) -> ApiError | None:
        """
        What an error of another client means, were its answer one to us; ``None``: it has none of Google's.

        All workers are told of a quota that is used up.
        """
        found = answered(error)
        if found is None:
            return None
        try:
            host = self._allowed(found.url)
        except InvalidRequest:
            return None
        failure = api_failure(found.response, now=self.now())
        if isinstance(failure, QuotaExceeded):
            with suppress(StoreUnavailable):
                await self._used_up(host, failure)
        return failure

    async def worked(self) -> None:
        """The job returned: so other clients' requests after a pause were answered."""
        await self._helped(self._over)

    # -- the way of one -------------------------------------------------------------------------

    async def _helped(self, over: Collection[str]) -> None:
        """Forget pauses that were of use."""
        if over:
            # What is done is done, whether or not it can be written down that it was.
            with suppress(StoreConflict, StoreUnavailable):
                await self._means.store.forget_pauses(list(over))

    async def _send(
        self, request: HttpRequest, host: str, seconds: float, largest: int, accept: Collection[int]
    ) -> HttpResponse:
        try:
            response = await self._means.http.send(request, seconds=seconds, largest=largest)
        except AnswerTooLarge as error:
            raise ApiMisbehaved(f"{host} answered more than {largest} bytes") from error
        except HttpFailed as error:
            raise unanswered(host, error) from error
        failure = api_failure(response, now=self.now(), accept=accept)
        if failure is not None:
            raise failure
        return response

    async def _turn(self, host: str) -> list[str]:
        """
        Wait while a quota is paused, and for a turn of each rate that is to be kept.

        Returns:
            Keys of the pauses that are over, and of which nobody knows yet whether they helped.

        Raises:
            QuotaExceeded: That lasts longer than a moment.
        """
        over = await self._unpaused(host)
        for rate in self._means.rates:
            if rate.host != host:
                continue
            key = rate.key(self._job.grant_id)
            while wait := await self._means.store.spend(key, per_second=rate.per_second, burst=rate.burst):
                if wait > SHORT_WAIT:
                    whose = Quota.USER if rate.per_user else Quota.PROJECT
                    raise QuotaExceeded(f"the rate set for {host} is used up", whose=whose, retry_after=wait)
                await asyncio.sleep(wait)
        return over

    async def _unpaused(self, host: str) -> list[str]:
        keys = self._keys(host)
        while True:
            pauses = await self._means.store.pauses(list(keys.values()))
            left, whose = max(
                ((pauses[key].left, whose) for whose, key in keys.items() if key in pauses),
                default=(0.0, Quota.USER),
            )
            if left <= 0.0:
                return list(pauses)
            if left > SHORT_WAIT:
                raise QuotaExceeded(f"the quota of {host} is used up", whose=whose, retry_after=left)
            # The dice keep those apart who wait for the same moment.
            await asyncio.sleep(left * (1.0 + self._means.dice.roll() / 4))

    async def _used_up(self, host: str, error: QuotaExceeded) -> float:
        """Tell all workers; nothing was done, so that it may be sent again. Seconds until then."""
        key, store = self._keys(host)[error.whose], self._means.store
        last = (await store.pauses([key])).get(key)
        # One that lasts was begun by somebody who was sent at the same time: they are one complaint.
        before = last.seconds if last is not None and last.left <= 0.0 else 0.0
        error.retry_after = quota_pause(error.retry_after, before)
        await store.pause(key, seconds=error.retry_after)
        return error.retry_after

    def _keys(self, host: str) -> dict[Quota, str]:
        return {Quota.USER: f"api:{host}:{self._job.grant_id}", Quota.PROJECT: f"api:{host}"}

    def _allowed(self, url: str) -> str:
        """
        The host of *url*, as it counts for quotas.

        Raises:
            InvalidRequest: A user's token must not go there.
        """
        found = _WRITTEN.fullmatch(url)
        if found is not None:
            scheme, host, port, rest = found[1], found[2].lower(), found[3] or "", found[4] or "/"
            if f"{scheme}://{host}{port}" in self._means.hosts:
                # An emulator is all of Google's hosts: the first part of the path tells them apart.
                return rest.partition("?")[0].strip("/").partition("/")[0] or host
            if scheme == "https" and port in ("", ":443") and is_googles(host):
                return host
        raise InvalidRequest("a user's token is sent to Google's hosts by HTTPS, and to no other")
