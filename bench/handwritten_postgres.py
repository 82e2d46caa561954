"""
The service that people write by hand for this job, on PostgreSQL.

As `bench.handwritten`, but with what one takes for PostgreSQL today: SQLAlchemy's
asynchronous engine on asyncpg and plain asynchronous endpoints. google-auth and
requests block, so they run in a thread, as FastAPI's guide says. Signing in is
here as well: the code is exchanged, the ID token verified by google-auth against
keys that stay in memory, and the row written.

Where there was a choice, the faster usual one was taken: connections are kept,
to the database and to the issuer.
"""

import asyncio
import hashlib
import hmac
import json
import os
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import requests
from cryptography.fernet import Fernet
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from google.auth import jwt
from google.auth.transport.requests import Request
from google.oauth2.credentials import Credentials
from pydantic import BaseModel
from requests.adapters import HTTPAdapter
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from bench.handwritten import (
    CALLER_KEY,
    DATABASE,
    FERNET_KEY,
    Base,
    Grant,
    TokenAnswer,
    TokenBody,
    serve,
)

CLIENT = "HANDWRITTEN_CLIENT"
CERTIFICATES = "HANDWRITTEN_CERTIFICATES_URL"
ISSUER_CONNECTIONS = 32


class RedeemBody(BaseModel):
    """What an app sends."""

    code: str


class RedeemAnswer(BaseModel):
    """Who signed in."""

    grant: str
    email: str
    scopes: list[str]


def engine(url: str) -> AsyncEngine:
    """The database, with SQLAlchemy's own bounds on connections."""
    return create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1))


def credentials_of(text: bytes) -> Credentials:
    """
    What `Credentials.to_json` wrote.

    google-auth's own reader, `from_authorized_user_info`, always puts Google's token endpoint in,
    and there is no emulator at that address.
    """
    kept = json.loads(text)
    return Credentials(
        token=kept["token"],
        refresh_token=kept["refresh_token"],
        token_uri=kept["token_uri"],
        client_id=kept["client_id"],
        client_secret=kept["client_secret"],
        scopes=kept["scopes"],
        expiry=datetime.fromisoformat(kept["expiry"]).replace(tzinfo=None),
    )


def answer(grant_id: str, credentials: Any) -> TokenAnswer:
    """What a caller is told of valid *credentials*."""
    expires_at = credentials.expiry.replace(tzinfo=UTC)
    return TokenAnswer(
        access_token=credentials.token,
        token_type="Bearer",
        expires_in=int((expires_at - datetime.now(UTC)).total_seconds()),
        expires_at=expires_at,
        scopes=sorted(credentials.scopes),
        missing_scopes=[],
        grant=grant_id,
    )


def create_app(url: str, fernet_key: str, caller_hash: str, client: Mapping[str, str], certs: str) -> FastAPI:
    """The service over the database at *url*, for a *client* as its file describes it."""
    app = FastAPI()
    sessions = async_sessionmaker(engine(url), expire_on_commit=False)
    fernet = Fernet(fernet_key)
    bearer = HTTPBearer()
    issuer = requests.Session()
    issuer.mount("http://", HTTPAdapter(pool_maxsize=ISSUER_CONNECTIONS))
    transport = Request(issuer)
    keys: dict[str, str] = {}

    async def session() -> AsyncIterator[AsyncSession]:
        async with sessions() as opened:
            yield opened

    def caller(given: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> None:
        digest = hashlib.sha256(given.credentials.encode()).hexdigest()
        if not hmac.compare_digest(digest, caller_hash):
            raise HTTPException(401, "caller unknown")

    @app.post("/v1/token", dependencies=[Depends(caller)])
    async def token(body: TokenBody, db: Annotated[AsyncSession, Depends(session)]) -> TokenAnswer:
        row = await db.get(Grant, body.grant)
        if row is None:
            raise HTTPException(404, "grant not found")
        credentials = credentials_of(fernet.decrypt(row.credentials))
        if not credentials.valid:
            await run_in_threadpool(credentials.refresh, transport)
            row.credentials = fernet.encrypt(credentials.to_json().encode())
            await db.commit()
        return answer(row.id, credentials)

    def exchange(code: str) -> tuple[dict[str, Any], dict[str, Any]]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": "",
            "client_id": client["client_id"],
            "client_secret": client["client_secret"],
        }
        got = issuer.post(client["token_uri"], data=form, timeout=10)
        if got.status_code != 200:
            raise HTTPException(422, "code refused")
        tokens = got.json()
        if not keys:
            keys.update(issuer.get(certs, timeout=10).json())
        return tokens, jwt.decode(tokens["id_token"], certs=keys, audience=client["client_id"])

    @app.post("/v1/redeem")
    async def redeem(
        body: RedeemBody,
        db: Annotated[AsyncSession, Depends(session)],
        x_requested_with: Annotated[str, Header()],
    ) -> RedeemAnswer:
        tokens, claims = await run_in_threadpool(exchange, body.code)
        expiry = datetime.now(UTC) + timedelta(seconds=tokens["expires_in"])
        credentials = Credentials(
            token=tokens["access_token"],
            refresh_token=tokens.get("refresh_token"),
            token_uri=client["token_uri"],
            client_id=client["client_id"],
            client_secret=client["client_secret"],
            scopes=tokens["scope"].split(),
            expiry=expiry.replace(tzinfo=None),
        )
        sealed = fernet.encrypt(credentials.to_json().encode())
        values = {"id": claims["sub"], "email": claims["email"], "credentials": sealed}
        kept = insert(Grant).values(values)
        await db.execute(
            kept.on_conflict_do_update(
                index_elements=[Grant.id],
                set_={"email": kept.excluded.email, "credentials": kept.excluded.credentials},
            )
        )
        await db.commit()
        return RedeemAnswer(grant=claims["sub"], email=claims["email"], scopes=tokens["scope"].split())

    return app


def fill(url: str, fernet_key: str, grants: Mapping[str, Credentials]) -> None:
    """Make the tables of the database with these grants."""
    fernet = Fernet(fernet_key)
    rows = [
        {
            "id": grant_id,
            "email": f"person.{number}@example.com",
            "credentials": fernet.encrypt(credentials.to_json().encode()),
        }
        for number, (grant_id, credentials) in enumerate(grants.items())
    ]

    async def run() -> None:
        database = engine(url)
        async with database.begin() as db:
            await db.run_sync(Base.metadata.create_all)
            if rows:
                await db.execute(insert(Grant), rows)
        await database.dispose()

    asyncio.run(run())


def main() -> None:
    """``python -m bench.handwritten_postgres``, set up by its variables."""
    app = create_app(
        os.environ[DATABASE],
        os.environ[FERNET_KEY],
        os.environ[CALLER_KEY],
        json.loads(os.environ[CLIENT]),
        os.environ[CERTIFICATES],
    )
    serve(app)


if __name__ == "__main__":
    main()
