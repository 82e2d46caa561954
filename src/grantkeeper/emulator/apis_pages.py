"""Lists a page at a time: what comes next is remembered, so that a change in between skips nothing."""

import secrets


class Pages:
    """The rests of lists that were begun, by the token of the next page."""

    def __init__(self) -> None:
        self._rests: dict[str, tuple[tuple[str, ...], int, str]] = {}

    def forget(self) -> None:
        """Lose all of them."""
        self._rests.clear()

    def keep(self, ids: tuple[str, ...], start: int = 0, owner: str = "") -> str:
        """A token for what comes from *start* on in a list of *ids*; only *owner* may use it."""
        token = "~!!~" + secrets.token_urlsafe(32)
        self._rests[token] = (ids, start, owner)
        return token

    def rest(self, token: str, owner: str = "") -> tuple[tuple[str, ...], int] | None:
        """The list and where to go on in it; None for a token that was not made here for *owner*."""
        ids, start, kept_for = self._rests.get(token, ((), 0, None))
        return (ids, start) if kept_for == owner else None
