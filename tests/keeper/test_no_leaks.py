"""
A busy life, and then a search for every secret of it, where no secret may be.

Searched are the database with its journal, the service's log and numbers, answers, errors with their
tracebacks, records, and everything that can be reached in memory from a running keeper.
"""

import asyncio
import gc
import json
import types
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from grantkeeper.adapters.http import AiohttpHttp
from grantkeeper.adapters.sqlite import SqliteStore
from grantkeeper.emulator.world import MARKERS
from grantkeeper.errors import GrantkeeperError
from grantkeeper.ids import uuid7
from grantkeeper.keeper.cache import Entry
from grantkeeper.keeper.plan import RedeemRequest
from grantkeeper.keeper.preflight import PreflightRequest
from grantkeeper.library.core import KeeperCore
from grantkeeper.model import Caller, Client
from grantkeeper.protocol.rejected import fingerprint
from grantkeeper.secret import AccessToken, ClientSecret, Secret
from grantkeeper.server.app import create_app
from grantkeeper.server.logs import configure
from grantkeeper.testing.google import GoogleEmulator
from tests.chaos.town import Town
from tests.keeper.conftest import FILES, SCOPES, remembered
from tests.keeper.fault_kit import leaks, leaks_of, tellings
from tests.keeper.test_connect import sign_in
from tests.keeper.test_redeem import challenge
from tests.server.asking import FROM_APP, KEY, Remote, Said, ask

pytestmark = pytest.mark.anyio

VERIFIER = "a-verifier-that-nobody-else-may-see-0123456789"
IDEMPOTENCY = "an-idempotency-key-for-one-code-alone"
BACK = "https://app.example.com/back"

AT_REDEEM = (
    "error_with_secrets",
    "html",
    "truncated_json",
    "expires_in_text",
    "access_token_with_newline",
    "id_token_absent",
    "id_token_garbage",
    "bad_signature",
    "email_not_text",
    "invalid_grant",
    "lost",
)
FOR_MACHINES = ("/metrics", "/readyz", "/healthz", "/.well-known/jwks.json", "/openapi.json")

AT_REFRESH = (
    "error_with_secrets",
    "html",
    "cut",
    "invalid_utf8",
    "access_token_with_newline",
    "another_subject",
    "error_unknown",
    "wrong_content_type",
)

Send = Callable[[str, str, Any, Mapping[str, str]], Awaitable[Said]]


@dataclass
class Life:
    """
    What phones, browsers and backends do in some busy minutes.

    Attributes:
        secrets: Everything that came by and must not stay anywhere.
        answers: Method, path and answer of every request.
    """

    send: Send
    google: GoogleEmulator
    key: str
    secrets: set[str] = field(default_factory=set)
    answers: list[tuple[str, str, Said]] = field(default_factory=list)

    @property
    def keyed(self) -> dict[str, str]:
        """The backend's header."""
        return {"Authorization": f"Bearer {self.key}"}

    async def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Said:
        said = await self.send(method, path, body, headers or {})
        self.answers.append((method, path.partition("?")[0], said))
        return said

    def code(self, email: str, **options: Any) -> str:
        """A code, and the person's own data, which are nobody else's business."""
        code = self.google.code(email, options.pop("scopes", SCOPES), force=True, **options)
        self.secrets |= {str(code), email}
        return code

    def id_token(self, email: str) -> str:
        token = self.google.id_token(email)
        self.secrets |= {token, token.split(".")[1]}
        return token

    async def redeem(self, code: str, *, keyed: bool = False, idempotency: str = "", **fields: Any) -> Said:
        headers = dict(FROM_APP) | ({"Idempotency-Key": idempotency} if idempotency else {})
        headers |= self.keyed if keyed else {}
        said = await self.ask("POST", "/v1/redeem", {"code": code, **fields}, headers)
        if said.status == 200 and said.json["session"]:
            self.secrets.add(said.json["session"]["token"])
        return said

    async def token(self, **fields: Any) -> Said:
        said = await self.ask("POST", "/v1/token", fields, self.keyed)
        if said.status == 200:
            self.secrets.add(said.json["access_token"])
        return said

    async def run(self) -> None:
        """All of it."""
        self.secrets |= {self.key, VERIFIER, IDEMPOTENCY}
        self.secrets |= set(self._own_secrets())
        await self._sign_ins()
        await self._mistakes()
        await self._redirects()
        await self._work()
        await self._endings()
        for user in self.google.get("users"):
            self.secrets |= {user["email"], user["name"]}

    def _own_secrets(self) -> Iterator[str]:
        content = self.google.get("client_secret.json")
        yield next(iter(content.values()))["client_secret"]

    async def _sign_ins(self) -> None:
        code = self.code("ada@secret.example")
        first = await self.redeem(code, idempotency=IDEMPOTENCY)
        assert 200 == first.status, first.body
        assert 200 == (await self.redeem(code, idempotency=IDEMPOTENCY)).status
        assert 409 == (await self.redeem(code)).status
        web = self.google.url + "/emulator/callback"
        code = self.code(
            "web@secret.example", source="web", redirect_uri=web, code_challenge=challenge(VERIFIER)
        )
        said = await self.redeem(code, source="web", redirect_uri=web, code_verifier=VERIFIER)
        assert 200 == said.status, said.body
        for name in AT_REDEEM:
            self.google.fault("token", name)
            await self.redeem(
                self.code(f"{name}@secret.example"), id_token=self.id_token(f"{name}@secret.example")
            )
            self.google.heal()
            assert 200 == (await self.redeem(self.code(f"well-{name}@secret.example"))).status

    async def _mistakes(self) -> None:
        """Secrets where they do not belong: bodies, paths, queries and headers that are refused."""
        code, stray = self.code("stray@secret.example"), self.id_token("stray@secret.example")
        assert 403 == (await self.ask("POST", "/v1/redeem", {"code": code})).status
        assert 400 == (await self.ask("POST", "/v1/redeem", {"kode": code}, FROM_APP)).status
        assert 400 == (await self.ask("POST", "/v1/redeem", code.encode(), FROM_APP)).status
        assert 400 == (await self.ask("POST", "/v1/redeem", {"code": [code]}, FROM_APP)).status
        assert 400 == (await self.ask("POST", "/v1/redeem", {"code": code, "source": stray}, FROM_APP)).status
        await self.ask("POST", f"/v1/redeem?code={quote(code, safe='')}", {}, FROM_APP)
        await self.ask("GET", f"/v1/grants/{quote(code, safe='')}", None, self.keyed)
        await self.ask("GET", f"/nowhere/{quote(code, safe='')}")
        await self.ask("POST", "/v1/token", {"grant": stray}, self.keyed)
        await self.ask("POST", "/v1/token", {"grant": "x", "scopes": [stray]}, self.keyed)
        await self.ask("POST", "/v1/token", {"grant": "x"}, {"Authorization": f"Bearer {stray}"})
        await self.ask("POST", "/v1/token", {"grant": "x"}, {"Authorization": f"Basic {self.key}"})
        for token in (stray, stray + "x", "GKMARK.GKMARK.GKMARK"):
            await self.ask("POST", "/v1/preflight", {"id_token": token}, FROM_APP)
        await self.ask("POST", "/v1/preflight", {"id_token": stray, "client": stray}, FROM_APP)

    async def _redirects(self) -> None:
        ticket = await self.ask("POST", "/v1/connect/tickets", {"user": "u-1"}, self.keyed)
        assert 201 == ticket.status, ticket.body
        self.secrets.add(ticket.json["ticket"])
        where = (
            f"return_to={quote(BACK)}&ticket={quote(ticket.json['ticket'])}&login_hint=ada%40secret.example"
        )
        begun = await self.ask("GET", f"/connect/default?{where}")
        assert 303 == begun.status, begun.body
        asked = {name: each for name, (each,) in parse_qs(urlsplit(begun.headers["location"]).query).items()}
        cookie = begun.headers["set-cookie"].partition(";")[0]
        self.secrets |= {asked["state"], asked["nonce"], cookie.partition("=")[2], "ada@secret.example"}
        code = sign_in(self.google, asked, "browser@secret.example")
        self.secrets |= {code, "browser@secret.example"}
        came = (
            f"/connect/callback?state={asked['state']}&code={quote(code, safe='')}&iss={self.google.issuer}"
        )
        await self.ask("GET", came)
        back = await self.ask("GET", came, None, {"Cookie": cookie})
        assert 303 == back.status, back.body
        (result,) = parse_qs(urlsplit(back.headers["location"]).query)["result"]
        self.secrets.add(result)
        done = await self.ask("POST", "/v1/connect/results", {"result": result}, self.keyed)
        assert 200 == done.status, done.body
        self.secrets.add(done.json["session"]["token"])
        await self.ask("POST", "/v1/connect/results", {"result": result}, self.keyed)

    async def _work(self) -> None:
        said = await self.redeem(self.code("work@secret.example"), keyed=True, user="u-2")
        grant = said.json["grant"]["id"]
        first = await self.token(grant=grant)
        refused = fingerprint(AccessToken(first.json["access_token"]))
        assert 200 == (await self.token(grant=grant, rejected=refused)).status
        assert 409 == (await self.token(grant=grant, scopes=[FILES])).status
        for name in AT_REFRESH:
            self.google.advance(3700)
            self.google.fault("token", name, grant_type="refresh_token")
            await self.token(grant=grant)
            self.google.heal()
            assert 200 == (await self.token(user="u-2", min_ttl=600)).status
        self.google.advance(3700)
        self.google.fault("token", "invalid_rapt", grant_type="refresh_token")
        assert 409 == (await self.token(grant=grant)).status
        self.google.heal()
        await self.ask("GET", f"/v1/grants/{grant}", None, self.keyed)
        await self.ask("GET", "/v1/grants", None, self.keyed)
        await self.ask("PATCH", f"/v1/grants/{grant}", {"user": None}, self.keyed)

    async def _endings(self) -> None:
        for fault in ("html", "lost", None):
            said = await self.redeem(self.code(f"end-{fault}@secret.example"))
            grant = said.json["grant"]["id"]
            await self.token(grant=grant)
            if fault is not None:
                self.google.fault("revoke", fault)
            assert 200 == (await self.ask("POST", f"/v1/grants/{grant}/revoke", None, self.keyed)).status
            self.google.heal()
            # Another worker may hand out for a second yet; how long exactly is another test's matter.
            await self.token(grant=grant)
            await self.ask("DELETE", f"/v1/grants/{grant}?revoke=false", None, self.keyed)
        # Last, for it shuts the circuit.
        self.google.fault("token", "invalid_client")
        assert 503 == (await self.redeem(self.code("last@secret.example"))).status
        self.google.heal()
        for path in FOR_MACHINES:
            assert 200 == (await self.ask("GET", path)).status


def found_in(place: bytes | str, secrets: set[str]) -> list[str]:
    """The secrets that are there."""
    data = place if isinstance(place, bytes) else place.encode()
    return sorted(secret for secret in {*secrets, *MARKERS} if secret.encode() in data)


def check_answers(life: Life) -> None:
    """Google's tokens are in the answers of ``/v1/token`` and nowhere else; its codes nowhere at all."""
    for method, path, said in life.answers:
        told = said.body.decode() + json.dumps(dict(said.headers))
        if (path, said.status) == ("/v1/token", 200):
            token = said.json["access_token"]
            told = told.replace(json.dumps(token), "")
        assert [] == leaks([told]), (method, path, said.status)
        nowhere = life.secrets if path in FOR_MACHINES else {life.key, VERIFIER, IDEMPOTENCY}
        assert [] == leaks([told], nowhere), (method, path)


def check_files(folder: Path, secrets: set[str], name: str = "grants.db") -> None:
    """The database, its journal and its index hold nothing that can be read."""
    searched = sorted(folder.glob(f"{name}*"))
    assert {name, f"{name}-wal", f"{name}-shm"} == {path.name for path in searched}
    everything = b"".join(path.read_bytes() for path in searched)
    assert b".apps.googleusercontent.com" in everything, "what is no secret is not found either"
    for path in searched:
        assert [] == found_in(path.read_bytes(), secrets), path.name


@pytest.mark.processes
async def test_a_service_keeps_its_secrets(tmp_path: Path) -> None:
    """
    Two workers of a real service, and afterwards their log, their numbers, their answers and their files.
    """
    with Town(tmp_path) as town:
        config = tmp_path / "grantkeeper.toml"
        text = config.read_text(encoding="utf-8")
        text = text.replace("[clients.default]", 'public_url = "http://127.0.0.1:8000"\n\n[clients.default]')
        config.write_text(text + f'return_to = ["{BACK}"]\n', encoding="utf-8")
        client = next(iter(town.google.get("client_secret.json").values()))
        uris = [*client["redirect_uris"], "http://127.0.0.1:8000/connect/callback"]
        town.google.call("PATCH", "clients", {"client_id": client["client_id"], "redirect_uris": uris})
        (node,) = town.start(1, workers=2)
        where = urlsplit(node.url)
        remote = Remote((where.hostname or "", where.port or 0))

        async def send(method: str, path: str, body: Any, headers: Mapping[str, str]) -> Said:
            return await asyncio.to_thread(remote.ask, method, path, body, headers)

        life = Life(send, town.google, town.caller_key)
        await life.run()
        check_files(tmp_path, life.secrets)
        town.stop_nodes()
        log = node.log.read_bytes()

    assert len(log.splitlines()) > 50
    assert [] == found_in(log, life.secrets)
    check_answers(life)


class Sink:
    """A log's stream that is kept."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


async def test_a_keeper_keeps_its_secrets_in_memory(
    core: KeeperCore, google_emulator: GoogleEmulator, tmp_path: Path
) -> None:
    """
    After the same life, everything that can be reached from the keeper prints nothing but stars.
    """
    await admit(core)
    sink = Sink()
    app = create_app(core, log=configure("json", sink))  # type: ignore[arg-type]

    async def send(method: str, path: str, body: Any, headers: Mapping[str, str]) -> Said:
        return await ask(app, method, path, body, headers)

    life = Life(send, google_emulator, KEY)
    kept = await core.redeem(RedeemRequest(code=life.code("kept@secret.example")))
    await life.run()

    check_answers(life)
    assert [] == found_in(sink.text, life.secrets)
    await core.audit.flush()
    check_files(tmp_path, life.secrets)
    events = [repr(event) for _, event in await core.store.events(limit=1000)]
    assert len(events) > 20
    assert [] == leaks(events, {*life.secrets, *MARKERS})
    await remembered(core, kept.id)
    kinds = Counter[type]()
    for each in reachable(core):
        kinds[type(each)] += 1
        assert [] == leaks(shown(each), MARKERS), type(each)
    for kind in (AccessToken, ClientSecret, Entry, SqliteStore, AiohttpHttp, Client):
        assert kind in kinds, f"the search does not reach a {kind.__name__}"


async def admit(core: KeeperCore) -> None:
    now = core.clock.now()
    await core.store.add_caller(
        Caller(
            id=uuid7(now, bytes(10)), name="photos", key_hash=sha256(KEY.encode()).digest(), created_at=now
        )
    )


def reachable(root: object) -> Iterator[object]:
    """
    Everything that *root* holds, and what that holds, up to what a `Secret` hides.

    Only our own objects and plain containers are looked into: the loop, modules and running code lead
    to everything that this process ever loaded, tests and emulator included.
    """
    waiting, seen = [root], set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        if isinstance(each, types.FunctionType):
            # Not its globals.
            waiting += [each.__closure__, each.__defaults__, each.__kwdefaults__]
        elif looked_into(each):
            waiting += gc.get_referents(each)


def looked_into(each: object) -> bool:
    """Whether the search goes on inside."""
    if isinstance(each, (Secret, type)):
        return False
    plain = (dict, list, tuple, set, frozenset, types.MappingProxyType, types.MethodType, types.CellType)
    ours = ("grantkeeper.", "collections", "_asyncio", "asyncio.locks")
    return isinstance(each, plain) or type(each).__module__.startswith(ours)


def shown(each: object) -> list[str]:
    """How an object shows itself: plain values as they are, our own in every way."""
    if isinstance(each, str):
        return [each]
    if isinstance(each, (bytes, bytearray)):
        return [bytes(each).decode("latin-1")]
    if isinstance(each, BaseException):
        return tellings(each)
    if type(each).__module__.startswith("grantkeeper"):
        return [repr(each), str(each), f"{each}"]
    return []


async def test_no_record_shows_a_secret(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    What is handed around prints no token, no key, no address and no name.
    """
    email = "ada@secret.example"
    code = google_emulator.code(email, SCOPES, nonce="a-nonce")
    id_token = google_emulator.id_token(email)
    request = RedeemRequest(
        code=code,
        nonce="a-nonce",
        id_token=id_token,
        idempotency_key=IDEMPOTENCY,
        trusted=True,
        user="u-1",
    )
    grant = await core.redeem(request)
    assert grant.session is not None
    token = await core.access_token(grant.id)
    begun = await core.connect.begin("default", return_to=BACK, scopes=list(SCOPES), login_hint=email)
    stored = await core.grant(grant.id)
    row = await core.store.read(grant.id)
    await core.session_keys()
    await admit(core)
    names = {user["name"] for user in google_emulator.get("users") if user["email"] == email}
    secrets = {
        str(code),
        id_token,
        IDEMPOTENCY,
        "a-nonce",
        email,
        *names,
        token.reveal(),
        grant.session.token.reveal(),
        begun.cookie,
        *MARKERS,
    }
    records = [
        request,
        grant,
        grant.session,
        grant.profile,
        token,
        begun,
        stored,
        row,
        await core.describe(grant.id),
        await core.grants(),
        await core.preflight(PreflightRequest(id_token=id_token)),
        await core.store.signing_keys(),
        await core.store.callers(),
        await core._access.entry(grant.id),
        core.clients,
        core.settings,
        core.means,
        await core.revoke(grant.id),
    ]

    for record in records:
        assert record is not None
        assert [] == leaks([repr(record), str(record), f"{record}"], secrets), type(record)


@pytest.mark.parametrize("name", AT_REDEEM)
async def test_no_error_shows_a_secret(core: KeeperCore, google_emulator: GoogleEmulator, name: str) -> None:
    """
    Text, hint, record and the whole traceback of what goes wrong hold ids and names of things only.
    """
    email = f"{name}@secret.example"
    code, id_token = google_emulator.code(email, SCOPES), google_emulator.id_token(email)
    google_emulator.fault("token", name)
    # A name, for Python 3.13 prints the whole statement below in its traceback.
    nonce = "a-nonce"

    with pytest.raises(GrantkeeperError) as caught:
        await core.redeem(
            RedeemRequest(code=code, id_token=id_token, idempotency_key=IDEMPOTENCY, nonce=nonce)
        )

    secrets = {str(code), id_token, IDEMPOTENCY, nonce, email, *MARKERS}
    assert [] == leaks_of(caught.value, secrets)
