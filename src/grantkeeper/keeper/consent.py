"""
What a new consent makes of a grant: pure work between the issuer's answer and the row.

The unforgivable mistake would be to lose the refresh token of a good grant; the
rule that avoids it is `grantkeeper.lifecycle.keep`, and this is its only user.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from grantkeeper.keeper.seals import Seals
from grantkeeper.lifecycle import Event, Keep, Offer, announced_end, keep, next_state
from grantkeeper.model import (
    Client,
    Grant,
    GrantState,
    IdentitySource,
    Profile,
    Reason,
    StoredToken,
    Subject,
    Waiting,
)
from grantkeeper.protocol.scopes import Scopes, scope_key
from grantkeeper.secret import AccessToken, RefreshToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """
    What a redeemed code brought, identity proved.

    Attributes:
        requested: What the app asked for, as far as it is known.
        granted: What the issuer's tokens open.
        access_token: ``None`` where the answer was broken but for its refresh token.
    """

    client: Client
    subject: Subject
    identity_source: IdentitySource
    requested: Scopes
    granted: Scopes
    at: datetime
    profile: Profile | None = None
    access_token: AccessToken | None = None
    expires_at: datetime | None = None
    refresh_token: RefreshToken | None = None
    refresh_expires_in: int | None = None


@dataclass(frozen=True, slots=True)
class Merged:
    """What to save: *grant*, to insert if *is_new*, else to replace the row it was made from."""

    grant: Grant
    token: StoredToken | None
    is_new: bool
    choice: Keep

    @property
    def proof_due(self) -> bool:
        """Whether a refresh decides if the grant lives, or with which token; it is in doubt till then."""
        return self.choice in (Keep.BOTH, Keep.STORED_ON_PROOF)


def merge(stored: Grant | None, consent: Consent, seals: Seals, *, new_id: str, user: str | None) -> Merged:
    """
    The grant after *consent*.

    Args:
        stored: The row of this client and subject, if there is one.
        new_id: The id of a grant that does not exist yet.
        user: The app's own id, to attach to a grant that has none.
    """
    choice = keep(stored, Offer(consent.refresh_token is not None, consent.granted))
    grant = _opened(stored, consent, seals, new_id)
    if grant.user is None and user is not None:
        grant = replace(grant, user=user)
    grant = _chosen(grant, consent, choice, seals)
    if consent.profile is not None:
        grant = replace(grant, profile=seals.seal_profile(grant, consent.profile))
        grant = seals.hashed(grant, profile=consent.profile)
    return Merged(grant, _token(grant, consent, seals), stored is None, choice)


def _opened(stored: Grant | None, consent: Consent, seals: Seals, new_id: str) -> Grant:
    """The row to build on: a new one, or the stored one, with a new data key unless it is in good use."""
    if stored is None:
        grant = Grant(
            id=new_id,
            client_id=consent.client.client_id,
            project=consent.client.project,
            subject=consent.subject,
            state=GrantState.ACTIVE,
            identity_source=consent.identity_source,
            created_at=consent.at,
            requested=consent.requested,
        )
        return replace(grant, data_key=seals.new_key(grant))
    grant = replace(
        stored,
        project=consent.client.project or stored.project,
        requested=(
            consent.requested if stored.state is GrantState.REVOKED else stored.requested | consent.requested
        ),
        identity_source=(
            consent.identity_source
            if consent.identity_source is IdentitySource.ANSWER
            else stored.identity_source
        ),
    )
    keeps_old_values = stored.state is not GrantState.REVOKED and (
        stored.state is GrantState.ACTIVE or consent.refresh_token is None
    )
    if keeps_old_values and stored.data_key is not None:
        return grant
    return replace(
        grant,
        data_key=seals.new_key(grant),
        refresh_token=None,
        waiting=None,
        profile=None,
        email_index=None,
        lookups=(),
    )


def _chosen(grant: Grant, consent: Consent, choice: Keep, seals: Seals) -> Grant:
    """*grant* with the refresh token that `keep` chose, and the state that follows."""
    ends_at = announced_end(consent.refresh_expires_in, consent.at)
    generation = grant.generation + 1
    if choice is Keep.NEW or choice is Keep.BOTH:
        assert consent.refresh_token is not None
        sealed = seals.seal_refresh_token(grant, consent.refresh_token, generation)
        if choice is Keep.BOTH:
            waiting = Waiting(sealed, consent.granted, ends_at)
            return replace(grant, generation=generation, waiting=waiting, uncertain_since=consent.at)
        renewed = replace(
            _active(grant),
            granted=consent.granted,
            refresh_token=sealed,
            generation=generation,
            consented_at=consent.at,
            ends_at=ends_at,
            waiting=None,
        )
        return seals.hashed(renewed, token=consent.refresh_token)
    if choice in (Keep.STORED, Keep.STORED_ON_PROOF):
        # What the stored token really opens, its next refresh tells. If it is dead, the reason is
        # now that no new one came: a plain sign-in was tried, and the next must force consent.
        on_proof = choice is Keep.STORED_ON_PROOF
        unproved = on_proof and grant.state is GrantState.NEEDS_CONSENT
        return replace(
            grant,
            granted=grant.granted | consent.granted,
            reason=Reason.NO_REFRESH_TOKEN if unproved else grant.reason,
            uncertain_since=consent.at if on_proof else grant.uncertain_since,
        )
    broken = replace(
        grant,
        granted=consent.granted,
        reason=Reason.NO_REFRESH_TOKEN,
        revocation_due=None,
        revocation_attempts=0,
        probe_at=None,
        uncertain_since=None,
        ends_at=None,
    )
    # Consent was given, but nothing lasting came of it.
    active = next_state(broken.state, Event.RECONSENTED)
    return replace(broken, state=next_state(active, Event.REFUSED))


def _active(grant: Grant) -> Grant:
    return replace(
        grant,
        state=next_state(grant.state, Event.RECONSENTED),
        reason=None,
        probe_at=None,
        uncertain_since=None,
        revocation_due=None,
        revocation_attempts=0,
    )


def _token(grant: Grant, consent: Consent, seals: Seals) -> StoredToken | None:
    """The answer's access token, to be handed out while it is fresh; only a working grant keeps one."""
    if consent.access_token is None or consent.expires_at is None or grant.state is not GrantState.ACTIVE:
        return None
    key = scope_key(consent.granted, grant.granted)
    sealed = seals.seal_access_token(grant, consent.access_token, key)
    return StoredToken(grant.id, key, sealed, consent.granted, consent.at, consent.expires_at)
