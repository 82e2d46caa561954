"""Finding, listing and describing grants."""

import re
from dataclasses import replace
from datetime import datetime

from grantkeeper.errors import (
    GrantAmbiguous,
    GrantNotFound,
    InvalidRequest,
    SealBroken,
    StoreConflict,
    WrongAccount,
)
from grantkeeper.keeper.means import Means
from grantkeeper.keeper.seals import Seals, normal_email
from grantkeeper.lifecycle import REMEDIES, UNCERTAIN, doubtful
from grantkeeper.model import AuditEvent, Description, End, Grant, GrantState
from grantkeeper.ports import GrantQuery, Note, Replace

MOST_LISTED = 1000
# Pages are in order of id, so the last id of one says where the next begins.
CURSOR = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MOST_AMBIGUOUS = 20
LONGEST_USER = 255


class Records:
    """Answers questions about grants without asking the issuer."""

    def __init__(self, means: Means, seals: Seals) -> None:
        self._means = means
        self._seals = seals

    async def get(self, grant_id: str) -> Grant:
        """
        The grant.

        Raises:
            GrantNotFound: There is no such grant.
        """
        grant = await self._means.store.get(grant_id)
        if grant is None:
            raise GrantNotFound("there is no such grant")
        return grant

    def visible(self, grant: Grant, clients: frozenset[str]) -> bool:
        """Whether a caller whose rule lists *clients* (names; empty for all) may know of *grant*."""
        return not clients or self._means.name_of(grant.client_id) in clients

    async def resolve(
        self,
        *,
        grant: str | None,
        subject: str | None,
        client: str | None,
        user: str | None,
        clients: frozenset[str],
    ) -> str:
        """
        The id of the one grant that is meant.

        Args:
            grant: An id; or else *subject* (with *client*, if several have it) or *user*.
            clients: Which clients' grants the caller may know of.

        Raises:
            InvalidRequest: Not exactly one of the three was given.
            GrantNotFound: None fits, or none that the caller may know of.
            GrantAmbiguous: Several do.
        """
        if sum(one is not None for one in (grant, subject, user)) != 1:
            raise InvalidRequest("name the grant by exactly one of grant, subject and user")
        if grant is not None:
            if not self.visible(await self.get(grant), clients):
                raise GrantNotFound("there is no such grant")
            return grant
        ids = self._client_ids(client, clients)
        issuer = None if client is None else self._means.client(client).issuer
        query = GrantQuery(client_ids=ids, issuer=issuer, sub=subject, user=user, limit=MOST_AMBIGUOUS)
        found = await self._means.store.search(query)
        # A tombstone is in nobody's way where a live grant fits too.
        alive = [one for one in found if one.state is not GrantState.REVOKED] or found
        if not alive:
            raise GrantNotFound("there is no such grant")
        if len(alive) > 1:
            raise GrantAmbiguous("several grants fit", grants=[one.id for one in alive])
        return alive[0].id

    def _client_ids(self, client: str | None, clients: frozenset[str]) -> frozenset[str] | None:
        if client is not None:
            if clients and client not in clients:
                return frozenset()
            return frozenset({self._means.client(client).client_id})
        if not clients:
            return None
        return frozenset(one.client_id for name, one in self._means.clients.items() if name in clients)

    async def list(
        self,
        *,
        client: str | None = None,
        subject: str | None = None,
        user: str | None = None,
        state: str | None = None,
        email: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
        clients: frozenset[str] = frozenset(),
    ) -> tuple[list[Description], str | None]:
        """
        A page of descriptions, without profiles, in order of id, and the cursor of the next page.

        Raises:
            InvalidRequest: *state*, *limit* or *cursor* is wrong.
            ClientUnknown: *client* is.
        """
        if not 1 <= limit <= MOST_LISTED:
            raise InvalidRequest(f"limit must be 1 to {MOST_LISTED}")
        try:
            wanted = None if state is None else GrantState(state)
        except ValueError:
            raise InvalidRequest(f"state must be one of {', '.join(GrantState)}") from None
        if cursor is not None and not CURSOR.fullmatch(cursor):
            raise InvalidRequest("cursor must be the next_cursor of the page before")
        query = GrantQuery(
            client_ids=self._client_ids(client, clients),
            sub=subject,
            user=user,
            state=wanted,
            email_index=None if email is None else self._means.sealer.digest("email", normal_email(email)),
            after=cursor or "",
            limit=limit + 1,
        )
        found = await self._means.store.search(query)
        page = [self.description(grant, profile=False) for grant in found[:limit]]
        return page, (page[-1].id if len(found) > limit else None)

    async def describe(self, grant_id: str, *, profile: bool = True) -> Description:
        """
        Our report about a grant.

        Raises:
            GrantNotFound: There is no such grant.
        """
        return self.description(await self.get(grant_id), profile=profile)

    async def attach(self, grant_id: str, user: str | None) -> Description:
        """
        Attach the app's own user id to a grant, or take it off with ``None``.

        Raises:
            GrantNotFound: There is no such grant.
            WrongAccount: It is attached to another user; take that one off first.
            InvalidRequest: The id is empty or too long.
        """
        if user is not None and not 0 < len(user) <= LONGEST_USER:
            raise InvalidRequest(f"user must have 1 to {LONGEST_USER} characters")
        while True:
            grant = await self.get(grant_id)
            if grant.user is not None and user is not None and grant.user != user:
                raise WrongAccount("this grant is attached to another user")
            if grant.user == user:
                return self.description(grant)
            event = AuditEvent(self._means.clock.now(), "grant.attached", grant.id, client_id=grant.client_id)
            try:
                await self._means.store.commit(Replace(replace(grant, user=user)), Note(event))
            except StoreConflict:
                continue

    def description(self, grant: Grant, *, profile: bool = True) -> Description:
        """What can be said of *grant*."""
        uncertain = doubtful(grant, self._means.restored_at)
        remedy = UNCERTAIN if uncertain else None
        if grant.reason is not None:
            remedy = REMEDIES[grant.reason]
        try:
            shown = self._seals.profile(grant) if profile else None
        except SealBroken:
            # A report must not fail for the one thing in it that is not needed to act.
            shown, remedy = (
                None,
                remedy or "Its profile does not open with this keys.json; give back the old one.",
            )
        return Description(
            id=grant.id,
            client=self._means.name_of(grant.client_id),
            project=grant.project,
            issuer=grant.subject.issuer,
            subject=grant.subject.sub,
            user=grant.user,
            state=grant.state,
            reason=grant.reason,
            remedy=remedy,
            requested_scopes=grant.requested,
            scopes=grant.granted,
            missing_scopes=grant.missing,
            refreshable=grant.refreshable,
            identity_source=grant.identity_source,
            uncertain=uncertain,
            revocation_pending=grant.revocation_due is not None,
            ends=self._ends(grant, self._means.clock.now()),
            created_at=grant.created_at,
            refreshed_at=grant.refreshed_at,
            used_at=grant.used_at,
            version=grant.version,
            profile=shown,
        )

    @staticmethod
    def _ends(grant: Grant, now: datetime) -> tuple[End, ...]:
        if grant.ends_at is None or grant.state is GrantState.REVOKED:
            return ()
        return (
            End(
                "refresh_token",
                grant.ends_at,
                "The user gave access for a limited time; ask for consent again before that day.",
            ),
        )
