"""
The service that people write by hand for this job.

FastAPI in front, SQLAlchemy over SQLite, Fernet around google-auth's own JSON of
the credentials, and google-auth to refresh: what the documentation of each
recommends, put together with care. The endpoint is a plain function, as
FastAPI's guide to SQL databases has it, since google-auth and the session block.
Where there was a choice, the faster usual one was taken: callers come from the
environment and cost no query, the database is in WAL mode, one sealed text
holds all of a grant, and nothing is logged.

It does far less than grantkeeper: no single flight, no audit, no states, no rules.
"""

import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import uvicorn
from cryptography.fernet import Fernet
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from google.auth.transport.requests import Request
from google.oauth2.credentials import Credentials
from pydantic import BaseModel
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from grantkeeper.server.node import BACKLOG, KEEP_ALIVE_SECONDS, listen, run_loop

DATABASE = "HANDWRITTEN_DATABASE"
FERNET_KEY = "HANDWRITTEN_FERNET_KEY"
CALLER_KEY = "HANDWRITTEN_CALLER_KEY_SHA256"


class Base(DeclarativeBase):
    """The tables."""


class Grant(Base):
    """A user's grant."""

    __tablename__ = "grants"

    id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(index=True)
    credentials: Mapped[bytes]


class TokenBody(BaseModel):
    """What a caller sends."""

    grant: str


class TokenAnswer(BaseModel):
    """What a caller gets."""

    access_token: str
    token_type: str
    expires_in: int
    expires_at: datetime
    scopes: list[str]
    missing_scopes: list[str]
    grant: str


def engine(path: str) -> Engine:
    """SQLite as it should be run."""
    made = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False})

    @event.listens_for(made, "connect")
    def prepare(connection: Any, record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    return made


def create_app(path: str, fernet_key: str, caller_hash: str) -> FastAPI:
    """The service over the database at *path*."""
    app = FastAPI()
    database = engine(path)
    fernet = Fernet(fernet_key)
    bearer = HTTPBearer()

    def session() -> Iterator[Session]:
        with Session(database) as opened:
            yield opened

    def caller(given: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> None:
        digest = hashlib.sha256(given.credentials.encode()).hexdigest()
        if not hmac.compare_digest(digest, caller_hash):
            raise HTTPException(401, "caller unknown")

    @app.post("/v1/token", dependencies=[Depends(caller)])
    def token(body: TokenBody, db: Annotated[Session, Depends(session)]) -> TokenAnswer:
        row = db.get(Grant, body.grant)
        if row is None:
            raise HTTPException(404, "grant not found")
        credentials = Credentials.from_authorized_user_info(json.loads(fernet.decrypt(row.credentials)))
        if not credentials.valid:
            credentials.refresh(Request())
            row.credentials = fernet.encrypt(credentials.to_json().encode())
            db.commit()
        expires_at = credentials.expiry.replace(tzinfo=UTC)
        return TokenAnswer(
            access_token=credentials.token,
            token_type="Bearer",
            expires_in=int((expires_at - datetime.now(UTC)).total_seconds()),
            expires_at=expires_at,
            scopes=sorted(credentials.scopes),
            missing_scopes=[],
            grant=row.id,
        )

    return app


def fill(path: str, fernet_key: str, grants: dict[str, Credentials]) -> None:
    """Make the database with these grants."""
    database = engine(path)
    Base.metadata.create_all(database)
    fernet = Fernet(fernet_key)
    with Session(database) as db:
        for number, (grant_id, credentials) in enumerate(grants.items()):
            sealed = fernet.encrypt(credentials.to_json().encode())
            db.add(Grant(id=grant_id, email=f"person.{number}@example.com", credentials=sealed))
        db.commit()
    database.dispose()


def serve(app: FastAPI) -> None:
    """Serve *app* as grantkeeper serves itself, and print where."""
    listener, url = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    print(url, flush=True)
    run_loop(uvicorn.Server(config).serve([listener]))


def main() -> None:
    """``python -m bench.handwritten``, set up by its three variables."""
    app = create_app(os.environ[DATABASE], os.environ[FERNET_KEY], os.environ[CALLER_KEY])
    serve(app)


if __name__ == "__main__":
    main()
