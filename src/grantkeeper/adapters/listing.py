"""Which statements make a listing of grants, and with which values: the same for every database."""

from collections.abc import Iterable
from heapq import merge
from itertools import islice, product
from operator import attrgetter
from typing import Any

from grantkeeper.model import Grant, GrantState
from grantkeeper.ports import GrantQuery

Values = dict[str, Any]


def pages(query: GrantQuery) -> list[tuple[str, Values]]:
    """
    The statements by name and their values by name. Each reads a page at most, along the index it names.

    Usually it is one. Clients take a walk for each client and state, for `merged`.
    """
    values: Values = {
        "after": query.after,
        "limit": query.limit,
        "client_ids": None if query.client_ids is None else sorted(query.client_ids),
        "issuer": query.issuer,
        "sub": query.sub,
        "user": query.user,
        "project": query.project,
        "state": None if query.state is None else query.state.value,
        "email_index": query.email_index,
    }
    if query.user is not None:
        return [("search_user", values)]
    if query.sub is not None:
        return [("search_sub", values)]
    if query.email_index is not None:
        return [("search_email", values)]
    if query.client_ids is None:
        return [("search_all" if query.state is None else "search_state", values)]
    states = GrantState if query.state is None else [query.state]
    return [
        ("search_client_state", values | {"one_client": client_id, "state": state.value})
        for client_id, state in product(sorted(query.client_ids), states)
    ]


def merged(found: Iterable[list[Grant]], limit: int) -> list[Grant]:
    """The first *limit* of pages that are each in order of id."""
    return list(islice(merge(*found, key=attrgetter("id")), limit))
