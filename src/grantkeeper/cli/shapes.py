"""What commands print of a record: the same names as the service uses, so that scripts need learn one."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grantkeeper.model import Description, Preflight, RedeemedGrant, Revocation, Token


def redeemed(grant: "RedeemedGrant") -> dict[str, Any]:
    """The answer of ``/v1/redeem`` without its session, which is for apps."""
    profile = grant.profile
    return {
        "grant": {
            "id": grant.id,
            "client": grant.client,
            "subject": grant.subject,
            "scopes": sorted(grant.scopes),
            "missing_scopes": sorted(grant.missing_scopes),
            "state": grant.state,
            "refreshable": grant.refreshable,
            "reason": grant.reason,
            "hint": grant.hint,
        },
        "profile": None
        if profile is None
        else {name: getattr(profile, name) for name in profile.__dataclass_fields__},
    }


def token(found: "Token") -> dict[str, Any]:
    """The answer of ``/v1/token``."""
    return {
        "access_token": found.reveal(),
        "token_type": found.token_type,
        "expires_in": found.expires_in,
        "expires_at": found.expires_at,
        "scopes": sorted(found.scopes),
        "missing_scopes": sorted(found.missing_scopes),
        "grant": found.grant,
        **({} if found.warning is None else {"warning": found.warning}),
    }


def described(grant: "Description") -> dict[str, Any]:
    """The answer of ``/v1/grants/{id}``."""
    plain = {name: getattr(grant, name) for name in grant.__dataclass_fields__}
    for name in ("requested_scopes", "scopes", "missing_scopes"):
        plain[name] = sorted(plain[name])
    plain["ends"] = [{"kind": end.kind, "at": end.at, "remedy": end.remedy} for end in grant.ends]
    profile = grant.profile
    plain["profile"] = (
        None if profile is None else {name: getattr(profile, name) for name in profile.__dataclass_fields__}
    )
    return plain


def preflight(found: "Preflight") -> dict[str, Any]:
    """The answer of ``/v1/preflight``."""
    return {
        "consent_needed": found.consent_needed,
        "missing_scopes": sorted(found.missing_scopes),
        "how": found.how,
        "login_hint": found.login_hint,
    }


def revocation(done: "Revocation") -> dict[str, Any]:
    """The answer of ``/v1/grants/{id}/revoke``."""
    return {
        "grant": done.grant,
        "state": done.state,
        "told": done.told,
        "also_affected": list(done.also_affected),
    }
