"""`GoogleEmulator`: an emulator's control side as a test wants it, over HTTP like everything else."""

import json
from base64 import b64encode
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

# No proxy: the emulator is on this machine, whatever the environment says.
_opener = build_opener(ProxyHandler({}))


class Code(str):
    """A one-time code as the phone would send it, and who it is of."""

    __slots__ = ("sub",)

    sub: str

    def __new__(cls, value: str, sub: str) -> "Code":
        code = super().__new__(cls, value)
        code.sub = sub
        return code


class GoogleEmulator:
    """
    Drives a running emulator (design section 10).

    Args:
        url: Its address.
        client_secret: Where to write its client file; default nowhere.
        clock_file: Where it writes its moved clock, for whoever shares it.

    Attributes:
        client_secret: Path of the client file, for ``Keeper.open(clients=…)``.
        clock_file: For ``Keeper.open(clock_file=…)``.
    """

    def __init__(
        self, url: str, *, client_secret: Path | None = None, clock_file: Path | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self.client_secret = client_secret
        self.clock_file = clock_file
        if client_secret is not None:
            client_secret.write_text(json.dumps(self.get("client_secret.json")), encoding="utf-8")

    @property
    def issuer(self) -> str:
        """What to give ``Keeper.open(issuer=…)``."""
        return self.url

    @property
    def app_client_ids(self) -> list[str]:
        """The client ids of the project's phone apps, for ``[clients.NAME] app_client_ids=``."""
        return [client["client_id"] for client in self.get("clients") if client["kind"] in ("ios", "android")]

    # -- users ----------------------------------------------------------------------------------

    def code(self, email: str, scopes: Collection[str] | str | None = None, **options: Any) -> Code:
        """
        *email* signs in and says yes to everything asked.

        Args:
            scopes: Default the ones the emulator thinks usual.
            options: ``source``, ``nonce``, ``redirect_uri``, ``code_challenge``,
                ``force`` and whatever else ``POST /emulator/code`` takes.
        """
        body: dict[str, Any] = {"email": email, **options}
        if scopes is not None:
            body["scopes"] = scopes if isinstance(scopes, str) else sorted(scopes)
        made = self.post("code", body)
        return Code(made["code"], made["sub"])

    def revoke(self, email: str) -> None:
        """The user takes all access back in the account's settings."""
        self.post("revoke", {"email": email})

    def event(self, kind: str, email: str, **options: Any) -> dict[str, Any]:
        """Something happens to the account, such as ``account-disabled``."""
        return dict(self.post("event", {"type": kind, "email": email, **options}))

    def id_token(self, email: str, **options: Any) -> str:
        """The ID token that the user's phone has."""
        return str(self.post("id_token", {"email": email, **options})["id_token"])

    # -- photos ---------------------------------------------------------------------------------

    def add_photo(self, email: str, content: bytes, filename: str) -> str:
        """
        Put a photo or a video into the library of *email*, from which the Picker picks; its id.

        Raises:
            ValueError: The bytes are neither.
        """
        body = {"email": email, "filename": filename, "content": b64encode(content).decode()}
        return str(self.post("photos", body)["photos"][0]["id"])

    def photos(self, email: str) -> dict[str, Any]:
        """
        What the account of *email* has: its own ``photos``, what apps ``created``, and their ``albums``.

        Every created item tells its ``description``, the titles of its ``albums`` and a ``sha256``.
        """
        return dict(self.get(f"photos?{urlencode({'email': email})}"))

    def pick(
        self,
        email: str,
        *,
        session: str | None = None,
        ids: Collection[str] | None = None,
        count: int | None = None,
    ) -> list[str]:
        """
        *email* picks photos without a browser; the ids.

        Args:
            session: The session's id; default the latest that waits for this user.
            ids: Ids or file names.
            count: The first so many of the library; default all.

        Raises:
            ValueError: There is no such session or photo, or too many were picked.
        """
        what = {"session": session, "ids": None if ids is None else list(ids), "count": count}
        body = {name: value for name, value in what.items() if value is not None}
        return list(self.post("pick", {"email": email, **body})["picked"])

    # -- the world ------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Move the clock."""
        self.post("clock", {"advance": seconds})

    def rotate_keys(self) -> None:
        """Sign with a new key from now on."""
        self.post("keys/rotate", {})

    def reset(self) -> None:
        """Back to the beginning: no users, no grants, no faults, no counts."""
        self.post("reset", {})

    # -- faults and counters --------------------------------------------------------------------

    def fault(self, endpoint: str, name: str, count: int | None = None, **options: Any) -> None:
        """Let fault *name* of the menu strike at *endpoint*, *count* times or until `heal`."""
        body = {"endpoint": endpoint, "name": name, **options}
        self.post("fault", body if count is None else {**body, "count": count})

    def active_faults(self) -> list[dict[str, Any]]:
        """The faults that may still strike; when a counted one is gone, its last request is on its way."""
        return list(self.get("fault"))

    def heal(self) -> None:
        """Delete every fault."""
        self.call("DELETE", "fault")

    def stats(self) -> dict[str, Any]:
        """What was asked of each endpoint and how it ended."""
        return dict(self.get("stats"))

    def count(self, endpoint: str, kind: str, outcome: str = "ok") -> int:
        """One of the counters, 0 where nothing was counted: ``count("token", "refresh_token")``."""
        counted: Any = self.stats()
        for name in (endpoint, kind, outcome):
            counted = counted.get(name, {})
        return counted if isinstance(counted, int) else 0

    # -- the wire -------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        """``GET /emulator/{path}``."""
        return self.call("GET", path)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """``POST /emulator/{path}``."""
        return self.call("POST", path, body)

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """
        One call of the control side.

        Raises:
            ValueError: The emulator refused, with its own sentence.
        """
        request = Request(  # noqa: S310 - the address is the test's own
            f"{self.url}/emulator/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
            method=method,
        )
        try:
            with _opener.open(request, timeout=30) as answer:
                return json.loads(answer.read())
        except HTTPError as error:
            with error:
                raise ValueError(f"{error.code}: {error.read().decode(errors='replace')}") from None
