"""
The JSON of every good answer, field by field, as design section 3 spells it.

The OpenAPI document is made from these structs, so what is documented is what
is sent.
"""

from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from grantkeeper.model import (
    Description,
    End,
    GrantState,
    IdentitySource,
    JobDescription,
    JobState,
    Preflight,
    Profile,
    QueuedJob,
    Reason,
    RedeemedGrant,
    Revocation,
    Session,
    Token,
)

Seconds = Annotated[int, Meta(ge=0, description="Whole seconds.")]
Time = Annotated[datetime, Meta(tz=True)]
Names = Annotated[tuple[str, ...], Meta(description="Scope names, sorted.")]


@lru_cache(maxsize=4096)
def names(scopes: frozenset[str]) -> tuple[str, ...]:
    """Scopes as the wire has them: sorted, so that equal sets are equal texts."""
    return tuple(sorted(scopes))


class Answer(msgspec.Struct):
    """Every answer's struct."""


class ProfileAnswer(Answer):
    """What the issuer says about the person. Only `sub` identifies; the rest may change any day."""

    sub: str
    email: str | None = None
    email_verified: bool | None = None
    name: str | None = None
    picture: str | None = None
    locale: str | None = None
    family_name: str | None = None
    given_name: str | None = None
    hd: str | None = None

    @classmethod
    def of(cls, profile: Profile) -> "ProfileAnswer":
        """The profile in full."""
        return cls(
            sub=profile.sub,
            email=profile.email,
            email_verified=profile.email_verified,
            name=profile.name,
            picture=profile.picture,
            locale=profile.locale,
            family_name=profile.family_name,
            given_name=profile.given_name,
            hd=profile.hd,
        )


class SessionAnswer(Answer):
    """A signed statement for the app's own backend that this user has just signed in."""

    token: str
    token_type: str
    expires_in: Seconds

    @classmethod
    def of(cls, session: Session) -> "SessionAnswer":
        """The one place where the statement leaves the service."""
        return cls(token=session.token.reveal(), token_type="Bearer", expires_in=session.expires_in)


class GrantAnswer(Answer):
    """What was granted, as the app learns it."""

    id: str
    client: str
    subject: str
    scopes: Names
    missing_scopes: Names
    state: GrantState
    refreshable: bool
    reason: Reason | UnsetType = UNSET
    hint: str | UnsetType = UNSET


class RedeemAnswer(Answer):
    """Who signed in and what was really granted; no token of the issuer's."""

    grant: GrantAnswer
    profile: ProfileAnswer | None
    session: SessionAnswer | None

    @classmethod
    def of(cls, redeemed: RedeemedGrant) -> "RedeemAnswer":
        """The answer of ``POST /v1/redeem``."""
        grant = GrantAnswer(
            id=redeemed.id,
            client=redeemed.client,
            subject=redeemed.subject,
            scopes=names(redeemed.scopes),
            missing_scopes=names(redeemed.missing_scopes),
            state=redeemed.state,
            refreshable=redeemed.refreshable,
            reason=UNSET if redeemed.reason is None else redeemed.reason,
            hint=UNSET if redeemed.hint is None else redeemed.hint,
        )
        return cls(
            grant=grant,
            profile=None if redeemed.profile is None else ProfileAnswer.of(redeemed.profile),
            session=None if redeemed.session is None else SessionAnswer.of(redeemed.session),
        )


class PreflightAnswer(Answer):
    """What the app should do before it shows a sign-in."""

    consent_needed: bool
    missing_scopes: Names
    how: str
    login_hint: str | None

    @classmethod
    def of(cls, preflight: Preflight) -> "PreflightAnswer":
        """The answer of ``POST /v1/preflight``."""
        return cls(
            consent_needed=preflight.consent_needed,
            missing_scopes=names(preflight.missing_scopes),
            how=preflight.how,
            login_hint=preflight.login_hint,
        )


class TokenAnswer(Answer):
    """An access token that lives long enough, for the user's backend."""

    access_token: str
    token_type: str
    expires_in: Seconds
    expires_at: Time
    scopes: Names
    missing_scopes: Names
    grant: str
    warning: str | UnsetType = UNSET

    @classmethod
    def of(cls, token: Token) -> "TokenAnswer":
        """The one place where an access token leaves the service."""
        return cls(
            access_token=token.reveal(),
            token_type=token.token_type,
            expires_in=token.expires_in,
            expires_at=token.expires_at,
            scopes=names(token.scopes),
            missing_scopes=names(token.missing_scopes),
            grant=token.grant,
            warning=UNSET if token.warning is None else token.warning,
        )


class EndAnswer(Answer):
    """An end that can be seen coming."""

    kind: str
    at: Time | None
    remedy: str

    @classmethod
    def of(cls, end: End) -> "EndAnswer":
        """The end, with its day and remedy."""
        return cls(kind=end.kind, at=end.at, remedy=end.remedy)


class DescriptionAnswer(Answer):
    """The report about a grant."""

    id: str
    client: str
    project: str | None
    issuer: str
    subject: str
    user: str | None
    state: GrantState
    reason: Reason | None
    remedy: str | None
    requested_scopes: Names
    scopes: Names
    missing_scopes: Names
    refreshable: bool
    identity_source: IdentitySource
    uncertain: bool
    revocation_pending: bool
    ends: list[EndAnswer]
    created_at: Time
    refreshed_at: Time | None
    used_at: Time | None
    version: int
    profile: ProfileAnswer | None

    @classmethod
    def of(cls, description: Description) -> "DescriptionAnswer":
        """The answer of ``GET /v1/grants/{id}``."""
        return cls(
            id=description.id,
            client=description.client,
            project=description.project,
            issuer=description.issuer,
            subject=description.subject,
            user=description.user,
            state=description.state,
            reason=description.reason,
            remedy=description.remedy,
            requested_scopes=names(description.requested_scopes),
            scopes=names(description.scopes),
            missing_scopes=names(description.missing_scopes),
            refreshable=description.refreshable,
            identity_source=description.identity_source,
            uncertain=description.uncertain,
            revocation_pending=description.revocation_pending,
            ends=[EndAnswer.of(end) for end in description.ends],
            created_at=description.created_at,
            refreshed_at=description.refreshed_at,
            used_at=description.used_at,
            version=description.version,
            profile=None if description.profile is None else ProfileAnswer.of(description.profile),
        )


class GrantsAnswer(Answer):
    """A page of grants; `next_cursor` is null on the last one."""

    grants: list[DescriptionAnswer]
    next_cursor: str | None


class RevocationAnswer(Answer):
    """What revoking came to; `also_affected` are grants that the issuer ended with it."""

    grant: str
    state: GrantState
    told: bool
    also_affected: list[str]

    @classmethod
    def of(cls, revocation: Revocation) -> "RevocationAnswer":
        """The answer of ``POST /v1/grants/{id}/revoke``."""
        return cls(
            grant=revocation.grant,
            state=revocation.state,
            told=revocation.told,
            also_affected=list(revocation.also_affected),
        )


class QueuedAnswer(Answer):
    """A job is written down, now or when its key came first; a worker does it."""

    id: str
    state: JobState

    @classmethod
    def of(cls, queued: QueuedJob) -> "QueuedAnswer":
        """The answer of ``POST /v1/jobs``."""
        return cls(id=queued.id, state=queued.state)


class ProgressAnswer(Answer):
    """How far a job says it is; `of` is 0 where it does not know."""

    done: Annotated[int, Meta(ge=0)]
    of: Annotated[int, Meta(ge=0)]
    doing: str | None


class JobAnswer(Answer):
    """The report about a job. What is not so, or not known, is null."""

    id: str
    job: str
    grant: str
    state: JobState
    reason: Annotated[str, Meta(description="Why it is parked, waits or has failed.")] | None
    note: Annotated[str, Meta(description="The same as a sentence.")] | None
    remedy: Annotated[str, Meta(description="Who can mend that, and how.")] | None
    hint: Annotated[str, Meta(description="What becomes of the job next.")] | None
    progress: ProgressAnswer
    attempts: Annotated[int, Meta(ge=0, description="How often it was begun since it got a step further.")]
    steps: Annotated[int, Meta(ge=0, description="Steps that are done and will not be done again.")]
    due_at: Annotated[datetime, Meta(tz=True, description="When a waiting job goes on by itself.")] | None
    scopes: Names
    parameters: dict[str, Any]
    result: Annotated[Any, Meta(description="What the job returned.")]
    batch: str | None
    key: str | None
    created_at: Time
    started_at: Time | None
    ended_at: Time | None
    keep_until: Annotated[datetime, Meta(tz=True, description="When an ended job is dropped.")] | None

    @classmethod
    def of(cls, described: JobDescription) -> "JobAnswer":
        """The answer of ``GET /v1/jobs/{id}``."""
        return cls(
            id=described.id,
            job=described.job,
            grant=described.grant,
            state=described.state,
            reason=described.reason,
            note=described.note,
            remedy=described.remedy,
            hint=described.hint,
            progress=ProgressAnswer(described.done, described.of, described.doing),
            attempts=described.attempts,
            steps=described.steps,
            due_at=described.due_at,
            scopes=names(described.scopes),
            parameters=dict(described.parameters),
            result=described.result,
            batch=described.batch,
            key=described.key,
            created_at=described.created_at,
            started_at=described.started_at,
            ended_at=described.ended_at,
            keep_until=described.keep_until,
        )


class JobsAnswer(Answer):
    """A page of jobs in the order in which they were made; `next_cursor` is null on the last one."""

    jobs: list[JobAnswer]
    next_cursor: str | None


class TicketAnswer(Answer):
    """Attaches a user of yours to whoever goes through /connect with it, once."""

    ticket: str
    expires_in: Seconds


class KeySetAnswer(Answer):
    """A JSON Web Key Set (RFC 7517) with the public keys of session tokens."""

    keys: list[dict[str, str | list[str]]]


class AliveAnswer(Answer):
    """The process answers."""

    status: str


class ReadyAnswer(Answer):
    """Whether this node can do its work; a check is ``ok`` or a sentence that says what is wrong."""

    status: str
    checks: dict[str, str]


class ErrorAnswer(Answer):
    """A refusal; some codes add fields of their own, such as `reason` and `missing_scopes`."""

    error: str
    error_description: str
    hint: str
