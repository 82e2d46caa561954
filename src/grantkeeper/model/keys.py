"""What has a data key of its own: grants, signing keys, jobs, and answers that wait in a journal."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from grantkeeper.model.grant import Sealed


class KeyKind(StrEnum):
    """What has a wrapped data key of its own."""

    GRANT = "grant"
    REDEMPTION = "redemption"
    SIGNING_KEY = "signing_key"
    JOB = "job"


@dataclass(frozen=True, slots=True)
class DataKey:
    """
    A wrapped data key and what it belongs to.

    Attributes:
        id: Grant id, code hash in hex, ``kid``, or job id.
        client_id: Empty for a signing key or a job, which belong to no client.
    """

    kind: KeyKind
    id: str
    client_id: str
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An ES256 key for session tokens: the public JWK in the clear, the private one sealed."""

    kid: str
    public_jwk: str
    data_key: bytes = field(repr=False)
    private: Sealed
    created_at: datetime
    signs_from: datetime
    retires_at: datetime


class JournalKind(StrEnum):
    """What a journal may have to keep for the store."""

    REFRESH = "refresh"
    """The answer to a refresh, whole or what was good of it; belongs to a grant id."""
    REDEMPTION = "redemption"
    """The answer to a code; belongs to a code hash, in hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """
    An issuer's answer that waits for the store, sealed.

    Attributes:
        id: Random; bound into the seal, as are `kind`, `owner` and `client_id`.
        owner: Grant id, or code hash in hex.
        at: When the issuer answered.
        data_key: Its own, wrapped.
    """

    id: str
    kind: JournalKind
    owner: str
    client_id: str
    at: datetime
    data_key: bytes = field(repr=False)
    box: bytes = field(repr=False)
