"""The world: everything the emulator knows, in memory behind one object."""

import hashlib
import itertools
import secrets
import threading
from base64 import b32encode
from collections import deque
from collections.abc import Callable, Container
from datetime import datetime, timedelta
from pathlib import Path

from grantkeeper.emulator.clock import MovableClock
from grantkeeper.emulator.faults import FaultPlan
from grantkeeper.emulator.keys import KeyRing
from grantkeeper.emulator.menu import MENU
from grantkeeper.emulator.records import AccessToken, Code, Grant, OAuthClient, RefreshToken, User
from grantkeeper.emulator.scopes import IDENTITY

MARKER = "GKMARK"
"""Part of every secret the emulator mints, so that a test can search for leaks."""

MARKERS = (MARKER, "R0tNQVJL", "dLTUFSS", "HS01BUk")
"""The marker as it is and as it looks inside base64, where ID tokens carry it, in each of three positions."""

PROJECT = "310920251122"
PROJECT_ID = "grantkeeper-emulator"
CONSUMER_DOMAINS = frozenset({"gmail.com", "googlemail.com"})
TESTING_LIFE = timedelta(days=7)
UNUSED_LIFE = timedelta(days=180)


class World:
    """
    The state of the emulator: clock, users, clients, grants, codes, tokens, keys, faults and counters.

    The server works on it from its event loop and a test may from its own thread; whoever changes
    something holds `lock`.

    Args:
        base_url: Where the emulator answers, without a trailing slash.
        issuer: The ``iss`` of ID tokens and of the discovery document; default the *base_url*.
        clock_file: Shares the clock with other processes, see `MovableClock`.
    """

    def __init__(self, base_url: str, issuer: str | None = None, clock_file: Path | None = None) -> None:
        self.base_url = base_url
        self.issuer = issuer or base_url
        self.lock = threading.RLock()
        self.clock = MovableClock(clock_file)
        self.keys = KeyRing()
        self.faults = FaultPlan(MENU)
        self.on_reset: list[Callable[[], None]] = []
        self._begin()

    def reset(self) -> None:
        """
        Begin again: no users, grants, tokens, faults or counters. Clock and keys stay as they are.

        Whatever keeps state elsewhere (the files of Drive) forgets it through `on_reset`.
        """
        with self.lock:
            self.faults.remove()
            self._begin()
            for forget in self.on_reset:
                forget()

    def _begin(self) -> None:
        self.users: dict[str, User] = {}
        self.users_by_sub: dict[str, User] = {}
        self.clients: dict[str, OAuthClient] = {}
        self.grants: dict[tuple[str, str], Grant] = {}
        self.codes: dict[str, Code] = {}
        self.refresh_tokens: dict[str, RefreshToken] = {}
        self.access_tokens: dict[str, AccessToken] = {}
        self.counters: dict[str, dict[str, dict[str, int]]] = {}
        self._live: dict[tuple[str, str], deque[RefreshToken]] = {}
        self._minted = 0
        self._register_defaults()

    # The clock

    def now(self) -> datetime:
        """The emulator's time, aware and in UTC."""
        return self.clock.now()

    def advance(self, seconds: float) -> None:
        """Move the clock by *seconds*."""
        self.clock.advance(timedelta(seconds=seconds))

    # Users

    def user(self, email: str) -> User:
        """The account of *email*, made on first sight."""
        key = email.strip().lower()
        with self.lock:
            if key not in self.users:
                user = _new_user(email.strip(), self.base_url, self.users_by_sub)
                self.users[key] = user
                self.users_by_sub[user.sub] = user
            return self.users[key]

    def user_by_sub(self, sub: str) -> User | None:
        """The account whose ``sub`` is *sub*, if it was ever seen."""
        return self.users_by_sub.get(sub)

    def rename_user(self, user: User, email: str) -> None:
        """Give *user* another address; the ``sub`` stays. The old address is free for somebody else."""
        with self.lock:
            del self.users[user.email.lower()]
            user.email = email
            self.users[email.lower()] = user

    def delete_user(self, user: User) -> None:
        """Delete the account and everything it granted; its address is free for somebody else."""
        with self.lock:
            user.deleted = True
            self.users.pop(user.email.lower(), None)
            for grant in self.grants_of(user.sub):
                self.revoke(grant)

    # Clients

    @property
    def web_client(self) -> OAuthClient:
        """The client of ``/emulator/client_secret.json``."""
        return self.clients[client_id(PROJECT, "web")]

    @property
    def ios_client(self) -> OAuthClient:
        """The app on the phone, in the same project as `web_client`."""
        return self.clients[client_id(PROJECT, "ios")]

    @property
    def desktop_client(self) -> OAuthClient:
        """An ``installed`` client of the same project."""
        return self.clients[client_id(PROJECT, "desktop")]

    def add_client(self, client: OAuthClient) -> OAuthClient:
        """Register *client*."""
        with self.lock:
            self.clients[client.id] = client
            return client

    def _register_defaults(self) -> None:
        origin = self.base_url
        self.add_client(
            OAuthClient(
                id=client_id(PROJECT, "web"),
                kind="web",
                project=PROJECT,
                name="Emulated web server",
                secrets=[fixed_secret("web")],
                redirect_uris=[origin + "/emulator/callback"],
                javascript_origins=[origin],
                loopback_paths=["/connect/callback"],
            )
        )
        self.add_client(
            OAuthClient(
                id=client_id(PROJECT, "desktop"),
                kind="installed",
                project=PROJECT,
                name="Emulated desktop app",
                secrets=[fixed_secret("desktop")],
                redirect_uris=["http://localhost"],
            )
        )
        self.add_client(OAuthClient(client_id(PROJECT, "ios"), "ios", PROJECT, name="Emulated iOS app"))
        self.add_client(
            OAuthClient(client_id(PROJECT, "android"), "android", PROJECT, name="Emulated Android app")
        )

    # Grants

    def grant(self, project: str, sub: str) -> Grant | None:
        """What *sub* gives *project* now; a grant that has reached its end is gone."""
        grant = self.grants.get((project, sub))
        if grant is not None and grant.ends_at is not None and grant.ends_at <= self.now():
            self.revoke(grant)
            return None
        return grant

    def grants_of(self, sub: str) -> list[Grant]:
        """What *sub* gives to whichever project."""
        return [grant for (_, owner), grant in list(self.grants.items()) if owner == sub]

    def consent(
        self, client: OAuthClient, user: User, scopes: frozenset[str], access_seconds: int | None = None
    ) -> Grant:
        """
        Record that *user* said yes to *scopes* on a page of *client*; earlier scopes stay.

        *access_seconds* makes it time-based; None, as the account is set up.
        """
        with self.lock:
            now = self.now()
            grant = self.grant(client.project, user.sub)
            if grant is None:
                grant = Grant(client.project, user.sub, frozenset(), now)
                self.grants[client.project, user.sub] = grant
            grant.scopes |= scopes
            grant.consented_at = now
            grant.ends_at, grant.time_based = None, False
            # Seven days, except where only the identity is asked for.
            if client.testing and not grant.scopes <= IDENTITY:
                grant.ends_at = now + TESTING_LIFE
            seconds = user.access_seconds if access_seconds is None else access_seconds
            if seconds is not None:
                grant.ends_at, grant.time_based = now + timedelta(seconds=seconds), True
            return grant

    def revoke(self, grant: Grant) -> None:
        """End *grant*: every token of every client of its project for that user dies with it."""
        with self.lock:
            grant.alive = False
            if self.grants.get((grant.project, grant.sub)) is grant:
                del self.grants[grant.project, grant.sub]

    # Tokens

    def secret(self, prefix: str, kind: str) -> str:
        """A new random secret that carries the marker."""
        return f"{prefix}{MARKER}{kind}-{secrets.token_urlsafe(32)}"

    def add_code(self, code: Code) -> Code:
        """Remember *code*."""
        with self.lock:
            self.codes[code.value] = code
            return code

    def new_refresh_token(self, client: OAuthClient, grant: Grant, scopes: frozenset[str]) -> RefreshToken:
        """Mint a refresh token; over the cap, the oldest live one silently dies."""
        with self.lock:
            now = self.now()
            token = RefreshToken(self.secret("1//0", "rt"), client.id, grant, scopes, now, now)
            self.refresh_tokens[token.value] = token
            live = self._live.setdefault((client.id, grant.sub), deque())
            live.append(token)
            if len(live) > client.live_cap:
                for oldest in self.live_refresh_tokens(client.id, grant.sub)[: -client.live_cap or None]:
                    oldest.dead = "too many live tokens"
            return token

    def live_refresh_tokens(self, client: str, sub: str) -> list[RefreshToken]:
        """The refresh tokens of *sub* that work at *client*, oldest first."""
        with self.lock:
            live = [
                token
                for token in self._live.get((client, sub), ())
                if self.death(token) is None and not token.spent
            ]
            self._live[client, sub] = deque(live)
            return live

    def death(self, token: RefreshToken) -> str | None:
        """Why *token* does not work any more, or None while it does."""
        if token.dead is None:
            current = self.grant(token.grant.project, token.grant.sub)
            if not token.grant.alive or current is not token.grant:
                token.dead = "revoked or expired"
            elif self.now() - token.used_at >= UNUSED_LIFE:
                token.dead = "unused for six months"
        return token.dead

    def new_access_token(
        self,
        client: OAuthClient,
        grant: Grant,
        scopes: frozenset[str],
        *,
        offline: bool = False,
        refresh_token: RefreshToken | None = None,
    ) -> tuple[AccessToken, int]:
        """Mint an access token; the second value is the ``expires_in`` to announce."""
        with self.lock:
            now = self.now()
            self._minted += 1
            if self._minted % 4096 == 0:
                self._sweep(now)
            life = client.access_token_seconds
            token = AccessToken(
                value=self.secret("ya29.", "at"),
                client_id=client.id,
                grant=grant,
                scopes=scopes,
                expires_at=now + timedelta(seconds=life),
                offline=offline,
                refresh_token=refresh_token,
            )
            self.access_tokens[token.value] = token
            # Google announces a little less than the life, and not always the same.
            return token, max(1, life - 1 - self._minted % 3) if life > 60 else life

    def access_token(self, value: str) -> AccessToken | None:
        """The access token *value* if it works now."""
        token = self.access_tokens.get(value)
        if token is None or token.dead or not token.grant.alive or token.expires_at <= self.now():
            return None
        user = self.user_by_sub(token.grant.sub)
        return None if user is None or user.disabled or user.deleted else token

    def _sweep(self, now: datetime) -> None:
        for value in [value for value, token in self.access_tokens.items() if token.expires_at <= now]:
            del self.access_tokens[value]

    # Counters

    def count(self, endpoint: str, kind: str, outcome: str, number: int = 1) -> None:
        """Count one request for ``/emulator/stats``, or *number* of whatever is counted."""
        with self.lock:
            outcomes = self.counters.setdefault(endpoint, {}).setdefault(kind, {})
            outcomes[outcome] = outcomes.get(outcome, 0) + number

    def counted(self, endpoint: str, kind: str | None = None, outcome: str | None = None) -> int:
        """How many requests were counted, of all kinds and outcomes unless named."""
        with self.lock:
            return sum(
                number
                for each_kind, outcomes in self.counters.get(endpoint, {}).items()
                for each_outcome, number in outcomes.items()
                if kind in (None, each_kind) and outcome in (None, each_outcome)
            )


def client_id(project: str, name: str) -> str:
    """A client id in Google's shape, the same at every start."""
    digest = hashlib.sha256(f"{project}/{name}".encode()).digest()
    return f"{project}-{b32encode(digest).decode().lower()[:32]}.apps.googleusercontent.com"


def fixed_secret(name: str) -> str:
    """The secret of a default client: the same at every start, so that a saved client file stays good."""
    return f"GOCSPX-{MARKER}{hashlib.sha256(name.encode()).hexdigest()[:22]}"


def _new_sub(email: str, taken: Container[str]) -> str:
    """21 digits, the same at every start; somebody else's second account of that address gets others."""
    digests = (hashlib.sha256(f"{email.lower()}/{time}".encode()).digest() for time in itertools.count())
    subs = ("1" + str(int.from_bytes(digest[:16], "big")).zfill(39)[-20:] for digest in digests)
    return next(sub for sub in subs if sub not in taken)


def _new_user(email: str, base_url: str, taken: Container[str]) -> User:
    local, _, domain = email.partition("@")
    sub = _new_sub(email, taken)
    words = [word.capitalize() for word in local.replace("_", ".").replace("-", ".").split(".") if word]
    given, family = (words or ["User"])[0], " ".join(words[1:]) or "Example"
    return User(
        email=email,
        sub=sub,
        name=f"{given} {family}",
        given_name=given,
        family_name=family,
        picture=f"{base_url}/emulator/picture/{sub}.svg",
        hd=None if domain.lower() in CONSUMER_DOMAINS else domain.lower() or None,
    )
