"""A code that was, or is about to be, sent."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class RedemptionState(StrEnum):
    """How far a redemption came."""

    CLAIMED = "claimed"
    ANSWERED = "answered"
    """The issuer answered, and who it is remains to be proved; the answer is sealed inside."""
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Redemption:
    """
    The record that a code was, or is about to be, sent.

    Attributes:
        code_hash: Keyed hash of client and code.
        owner: Random id of the attempt that holds the claim.
        key_hash: Keyed hash of the Idempotency-Key, where one came.
        fingerprint: Keyed hash of all else that must be equal for a repeat.
        until: When an unsettled claim counts as lost, or its waiting answer is free; the database's time.
        outcome: What is replayed to a repeat, sealed under `data_key`.
        index_version: Of the index key that the hashes were made with.
    """

    code_hash: bytes = field(repr=False)
    client_id: str
    owner: str
    state: RedemptionState
    created_at: datetime
    keep_until: datetime
    key_hash: bytes | None = field(default=None, repr=False)
    fingerprint: bytes = field(default=b"", repr=False)
    lapsed: bool = False
    """Whether `until` has passed by the database's clock; set when read."""
    data_key: bytes | None = field(default=None, repr=False)
    outcome: bytes | None = field(default=None, repr=False)
    settled_at: datetime | None = None
    grant_id: str | None = None
    index_version: int = 1
