"""What a store's listings must do."""

from datetime import timedelta
from typing import Any

import pytest

from grantkeeper.model import Grant, GrantState, Subject
from grantkeeper.ports import GrantQuery, Store
from grantkeeper.testing.conformance_base import Conformance, saved
from grantkeeper.testing.records import ISSUER, NOW, a_full_grant, a_grant

STATES = list(GrantState)
EVERYTHING: dict[str, Any] = {
    "client_ids": frozenset({"client 1"}),
    "issuer": ISSUER,
    "sub": "sub 1",
    "user": "user 1",
    "project": "project 1",
    "state": GrantState.NEEDS_CONSENT,
    "email_index": b"email 1",
}


def crowd() -> list[Grant]:
    """Grants in which every filter lets some through and every two of them fewer."""
    return [
        a_grant(
            number,
            client_id=f"client {number % 2}",
            subject=Subject(ISSUER, f"sub {number % 3 if number % 3 != 2 else number}"),
            user=f"user {number % 5}" if number % 5 else None,
            project=f"project {number % 7 % 2}",
            state=STATES[number % 4],
            email_index=b"email %d" % (number % 3) if number % 3 else None,
        )
        for number in range(1, 61)
        # Client and subject are unique: of the shared subs only the first of each client stays.
        if number % 3 == 2 or number <= 6
    ]


def lets_through(query: GrantQuery, grant: Grant) -> bool:
    """The meaning of a query, said once more and plainly."""
    asked = [
        (query.issuer, grant.subject.issuer),
        (query.sub, grant.subject.sub),
        (query.user, grant.user),
        (query.project, grant.project),
        (query.state, grant.state),
        (query.email_index, grant.email_index),
    ]
    return (query.client_ids is None or grant.client_id in query.client_ids) and all(
        wanted in (None, has) for wanted, has in asked
    )


FILTERS: list[dict[str, Any]] = [
    {},
    *({name: value} for name, value in EVERYTHING.items()),
    *({one: EVERYTHING[one], two: EVERYTHING[two]} for one in EVERYTHING for two in EVERYTHING if one < two),
    EVERYTHING,
    {"client_ids": frozenset()},
    {"client_ids": frozenset(), "user": "user 1"},
    {"client_ids": frozenset({"client 0", "client 1"})},
    {"client_ids": frozenset({"client 0", "unknown"}), "state": GrantState.REVOKED},
    {"client_ids": frozenset({"client 0", "client 1"}), "user": "user 2"},
    {"sub": "nobody"},
    {"user": ""},
]


@pytest.mark.anyio
class SearchConformance(Conformance):
    """`grantkeeper.ports.GrantStore.search` and ``due_revocations``."""

    @pytest.mark.parametrize("filters", FILTERS, ids=lambda filters: " ".join(filters) or "none")
    async def test_a_search_finds_what_its_filters_let_through(
        self, store: Store, filters: dict[str, Any]
    ) -> None:
        """
        Every filter and every two of them, in order of id.
        """
        stored = await saved(store, *crowd())
        query = GrantQuery(**filters)

        assert [grant for grant in stored if lets_through(query, grant)] == await store.search(query)

    @pytest.mark.parametrize(
        "filters",
        [
            {},
            {"state": GrantState.REVOKED},
            {"client_ids": frozenset({"client 0", "client 1"})},
            {"user": "user 1"},
            {"email_index": b"email 2"},
            {"sub": "sub 1"},
        ],
        ids=lambda filters: " ".join(filters) or "none",
    )
    @pytest.mark.parametrize("limit", [1, 3, 1000])
    async def test_pages_follow_each_other_without_gap_or_repeat(
        self, store: Store, filters: dict[str, Any], limit: int
    ) -> None:
        """
        Going on after the last id of each page lists everything once.
        """
        await saved(store, *crowd())
        found: list[Grant] = []
        while page := await store.search(
            GrantQuery(**filters, after=found[-1].id if found else "", limit=limit)
        ):
            assert len(page) <= limit
            found += page
            assert len(found) <= len(crowd())

        assert await store.search(GrantQuery(**filters, limit=1000)) == found

    async def test_due_revocations_are_those_to_be_told_by_now(self, store: Store) -> None:
        """
        The longest due comes first; the due instant itself counts; other states do not.
        """
        due = [NOW + timedelta(seconds=seconds) for seconds in (0, -5, 1, -9)]
        await saved(
            store,
            *(
                a_grant(number, state=GrantState.REVOKED, revocation_due=at)
                for number, at in enumerate(due, start=1)
            ),
            a_grant(5, state=GrantState.REVOKED),
            a_grant(6, state=GrantState.ACTIVE, revocation_due=NOW - timedelta(days=1)),
            a_full_grant(7),
        )
        everything = [grant.id for grant in await store.due_revocations(NOW)]
        first = [grant.id for grant in await store.due_revocations(NOW, limit=1)]

        assert [a_grant(number).id for number in (4, 2, 1)] == everything
        assert [a_grant(4).id] == first
