"""A core that answers what a test tells it to, and remembers what it was asked."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from grantkeeper.errors import ClientUnknown
from grantkeeper.keeper.connect import Begin
from grantkeeper.model import (
    Caller,
    Client,
    Description,
    GrantState,
    IdentitySource,
    JobDescription,
    JobState,
    Preflight,
    Profile,
    Provider,
    QueuedJob,
    Reason,
    RedeemedGrant,
    Revocation,
    Session,
    Source,
    Token,
)
from grantkeeper.secret import AccessToken, SessionToken

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
GRANT = "019aa000-0000-7000-8000-000000000001"
OTHER = "019aa000-0000-7000-8000-000000000002"
TOKEN = "ya29.marker-access-token"
SESSION = "marker.session.token"
PAGE = "https://app.example"
SCOPES = frozenset({"openid", "https://www.googleapis.com/auth/drive.appdata"})

DEFAULT = Client(
    name="default",
    provider=Provider.GOOGLE,
    client_id="1-web.apps.googleusercontent.com",
    secrets=(),
    issuer="https://accounts.google.com",
    redirects={Source.IOS: ("",)},
    origins=frozenset({PAGE}),
)
SECOND = replace(
    DEFAULT, name="second", client_id="2-web.apps", origins=frozenset({"https://second.example"})
)

REDEEMED = RedeemedGrant(
    id=GRANT,
    client="default",
    subject="1001",
    scopes=SCOPES,
    missing_scopes=frozenset({"https://www.googleapis.com/auth/photoslibrary"}),
    state=GrantState.ACTIVE,
    refreshable=True,
    profile=Profile(
        sub="1001",
        email="ada@example.com",
        email_verified=True,
        name="Ada Lovelace",
        picture="https://example.com/ada.png",
        locale="en",
        family_name="Lovelace",
        given_name="Ada",
        hd="example.com",
    ),
    session=Session(SessionToken(SESSION), 300),
)

BROKEN = replace(
    REDEEMED,
    state=GrantState.NEEDS_CONSENT,
    refreshable=False,
    reason=Reason.NO_REFRESH_TOKEN,
    hint="Force consent.",
    profile=None,
    session=None,
)

HANDED_OUT = Token(
    access_token=AccessToken(TOKEN),
    expires_at=NOW + timedelta(seconds=3599),
    expires_in=3599,
    scopes=SCOPES,
    missing_scopes=frozenset(),
    grant=GRANT,
)

DESCRIBED = Description(
    id=GRANT,
    client="default",
    project="project-1",
    issuer="https://accounts.google.com",
    subject="1001",
    user="u-1",
    state=GrantState.ACTIVE,
    reason=None,
    remedy=None,
    requested_scopes=SCOPES,
    scopes=SCOPES,
    missing_scopes=frozenset(),
    refreshable=True,
    identity_source=IdentitySource.ANSWER,
    uncertain=False,
    revocation_pending=False,
    ends=(),
    created_at=NOW,
    refreshed_at=None,
    used_at=None,
    version=3,
)

JOB = "019aa000-0000-7000-8000-00000000000a"

PARKED = JobDescription(
    id=JOB,
    job="improve",
    grant=GRANT,
    state=JobState.PARKED,
    created_at=NOW,
    parameters={"photo": "p-1"},
    scopes=SCOPES,
    batch="album",
    key="p-1",
    reason="revoked",
    note="the access was taken back",
    remedy="Ask again.",
    hint="It goes on by itself.",
    attempts=2,
    steps=3,
    done=4,
    of=10,
    doing="sharpening",
    started_at=NOW,
)


@dataclass
class Rate:
    """As in the settings."""

    count: int = 120
    period: float = 60.0


@dataclass
class FakeSettings:
    """The few settings that the service reads."""

    trusted_proxies: tuple[Any, ...] = ()
    redeem_limit: Rate = field(default_factory=Rate)
    public_url: str | None = None
    log_format: str = "json"


class HandClock:
    """A clock set by hand."""

    def __init__(self) -> None:
        self.at = NOW
        self.seconds = 1000.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds


class FakeStore:
    """Callers, and how many jobs there are."""

    def __init__(self) -> None:
        self.callers: dict[bytes, Caller] = {}
        self.reads = 0
        self.error: Exception | None = None
        self.jobs: dict[JobState, int] = {}
        self.counted = 0

    async def count_jobs(self) -> Mapping[JobState, int]:
        self.counted += 1
        if self.error is not None:
            raise self.error
        return self.jobs

    async def caller(self, key_hash: bytes) -> Caller | None:
        self.reads += 1
        if self.error is not None:
            raise self.error
        return self.callers.get(key_hash)


class FakeConnect:
    """The redirect flow."""

    def __init__(self, core: "FakeCore") -> None:
        self._core = core

    async def begin(self, client: str, **asked: Any) -> Begin:
        return self._core.answer("begin", client=client, **asked)

    async def callback(self, **asked: Any) -> str:
        return self._core.answer("callback", **asked)

    async def ticket(self, client: str, user: str, expect_subject: str | None = None) -> tuple[str, int]:
        return self._core.answer("ticket", client=client, user=user, expect_subject=expect_subject)

    async def result(self, result: str) -> RedeemedGrant:
        return self._core.answer("result", result=result)


class FakeJobs:
    """Offline work."""

    def __init__(self, core: "FakeCore") -> None:
        self._core = core

    async def enqueue(self, job: str, grant_id: str, **asked: Any) -> QueuedJob:
        return self._core.answer("enqueue", job=job, grant_id=grant_id, **asked)

    async def list(self, **asked: Any) -> tuple[list[JobDescription], str | None]:
        return self._core.answer("jobs", **asked)

    async def get(self, job_id: str, **asked: Any) -> JobDescription:
        return self._core.answer("job", job_id=job_id, **asked)

    async def cancel(self, job_id: str, **asked: Any) -> JobDescription:
        return self._core.answer("cancel", job_id=job_id, **asked)

    async def retry(self, job_id: str, **asked: Any) -> JobDescription:
        return self._core.answer("retry", job_id=job_id, **asked)


class FakeCore:
    """
    Stands where `grantkeeper.library.core.KeeperCore` does.

    Attributes:
        answers: What a call returns; raised if it is an exception, called if it can be.
        calls: What was asked, in order.
    """

    def __init__(self, settings: FakeSettings | None = None) -> None:
        self.settings = settings or FakeSettings()
        self.clients: Mapping[str, Client] = {"default": DEFAULT, "second": SECOND}
        self.clock = HandClock()
        self.store = FakeStore()
        self.counters: Counter[tuple[str, str]] = Counter({("refresh", "ok"): 2})
        self.chores: dict[str, Any] = {}
        self.feed_silent = False
        self.connect = FakeConnect(self)
        self.jobs = FakeJobs(self)
        self.listeners: list[Callable[[str, str], None]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {
            "redeem": REDEEMED,
            "preflight": Preflight(
                consent_needed=True,
                missing_scopes=frozenset({"b", "a"}),
                how="server_revoke_first",
                login_hint="ada@example.com",
            ),
            "fresh_token": HANDED_OUT,
            "access_token": HANDED_OUT,
            "resolve": GRANT,
            "describe": DESCRIBED,
            "grants": ([DESCRIBED], "next"),
            "attach": DESCRIBED,
            "revoke": Revocation(grant=GRANT, state=GrantState.REVOKED, told=True, also_affected=(OTHER,)),
            "forget": None,
            "enqueue": QueuedJob(JOB, JobState.QUEUED),
            "jobs": ([PARKED], "next"),
            "job": PARKED,
            "cancel": replace(PARKED, state=JobState.CANCELLED),
            "retry": replace(PARKED, state=JobState.QUEUED),
            "session_keys": {"keys": [{"kty": "EC", "crv": "P-256", "kid": "k1"}]},
            "ready": {"database": "ok", "keys": "ok", "clock": "ok", "feed": "ok", "journal": "ok"},
            "begin": Begin("https://accounts.google.com/o/oauth2/v2/auth?state=s", "cookie-value", 600),
            "callback": "https://app.example/done?result=r",
            "ticket": ("ticket-1", 600),
            "result": REDEEMED,
        }

    # -- for tests ------------------------------------------------------------------------------

    def admit(self, key: str, **rules: Any) -> Caller:
        """Make *key* a caller's."""
        made = {
            "id": "caller-1",
            "name": "photos",
            "key_hash": sha256(key.encode()).digest(),
            "created_at": NOW,
        }
        caller = Caller(**{**made, **rules})
        self.store.callers[caller.key_hash] = caller
        return caller

    def tell(self, kind: str, row: str = "") -> None:
        """A line of the change feed."""
        for listener in self.listeners:
            listener(kind, row)

    def asked(self, name: str) -> list[dict[str, Any]]:
        """Every call of that name."""
        return [what for called, what in self.calls if called == name]

    def answer(self, name: str, **asked: Any) -> Any:
        self.calls.append((name, asked))
        said = self.answers[name]
        if callable(said):
            said = said(**asked)
        if isinstance(said, Exception):
            raise said
        return said

    # -- as the core ----------------------------------------------------------------------------

    def client(self, name: str | None) -> Client:
        found = self.clients.get("default" if name is None else name)
        if found is None:
            raise ClientUnknown("no client of that name is configured")
        return found

    def on_change(self, callback: Callable[[str, str], None]) -> None:
        self.listeners.append(callback)

    async def redeem(self, request: Any) -> RedeemedGrant:
        return self.answer("redeem", request=request)

    async def preflight(self, request: Any) -> Preflight:
        return self.answer("preflight", request=request)

    def fresh_token(self, grant_id: str, **asked: Any) -> Token | None:
        return self.answer("fresh_token", grant_id=grant_id, **asked)

    async def access_token(self, grant_id: str, **asked: Any) -> Token:
        return self.answer("access_token", grant_id=grant_id, **asked)

    async def resolve(self, **asked: Any) -> str:
        return self.answer("resolve", **asked)

    async def describe(self, grant_id: str, **asked: Any) -> Description:
        return self.answer("describe", grant_id=grant_id, **asked)

    async def grants(self, **asked: Any) -> tuple[list[Description], str | None]:
        return self.answer("grants", **asked)

    async def attach(self, grant_id: str, user: str | None) -> Description:
        return self.answer("attach", grant_id=grant_id, user=user)

    async def revoke(self, grant_id: str) -> Revocation:
        return self.answer("revoke", grant_id=grant_id)

    async def forget(self, grant_id: str, *, revoke: bool = True) -> None:
        return self.answer("forget", grant_id=grant_id, revoke=revoke)

    async def session_keys(self) -> dict[str, Any]:
        return self.answer("session_keys")

    def journal_entries(self) -> int:
        return 2

    async def ready(self) -> dict[str, str]:
        return self.answer("ready")
