"""
What each fault of the emulator's menu must come to: the contract of design sections 3 and 7, row by row.

One table for each endpoint that a keeper talks to. A fault of the menu without a row fails
`tests.keeper.test_faults`, and so does a row without a fault.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from grantkeeper.model import GrantState, Reason

ACTIVE, BROKEN, BLOCKED = GrantState.ACTIVE, GrantState.NEEDS_CONSENT, GrantState.BLOCKED

Stored = tuple[GrantState, bool] | None
"""State and whether it is refreshable, of the grant that a redemption leaves; ``None`` for no grant."""

LIVES = (ACTIVE, True)
WITHOUT_TOKEN = (BROKEN, False)


@dataclass(frozen=True, slots=True)
class Row:
    """
    What a fault of the token endpoint comes to.

    Attributes:
        redeem: The error's code for a posted code; ``ok`` for none.
        refresh: The same for an access token that had to be refreshed.
        claim: What an ``id_token_rejected`` names.
        stored: What the redemption leaves in the store.
        state: Of the grant whose refresh was struck. Only a true refusal changes it.
        scopes: How what is granted changes by the struck refresh.
        rotated: What comes of the next refresh if the issuer rotates: ``ok``, or the reason it is refused.
        options: Of the fault itself.
    """

    redeem: str = "ok"
    refresh: str = "ok"
    claim: str | None = None
    stored: Stored = LIVES
    state: tuple[GrantState, Reason | None] = (ACTIVE, None)
    scopes: str = "same"
    rotated: str = "ok"
    options: Mapping[str, Any] = field(default_factory=dict)


def rejected(claim: str) -> Row:
    """The answer's ID token proves nothing: no grant from it. A refresh does not need one."""
    return Row("id_token_rejected", claim=claim, stored=None)


FINE = Row()

LOST = Row("outcome_unknown", "issuer_unavailable", stored=None, rotated="answer_lost")
"""The issuer may have acted: the code is never sent again, the refresh is, later."""

PASSING = replace(LOST, rotated="ok", options={"retry_after": 40})
"""The issuer says that it did nothing. To a code that is no proof; a refresh waits as it is told."""

GARBAGE = Row("issuer_misbehaved", "issuer_misbehaved", stored=None, rotated="answer_lost")
"""Nothing of the answer can be read, and what was in it is lost."""

REFUSED = replace(GARBAGE, rotated="ok")
"""An error that makes no sense: nothing was given, nothing is lost."""

SALVAGED = Row("issuer_misbehaved", "issuer_misbehaved")
"""Told as broken, but the refresh token in it is kept."""

OPERATOR = Row("client_misconfigured", "client_misconfigured", stored=None)
"""Our client is refused, and no grant is to blame."""

REQUEST = Row("client_misconfigured", "issuer_misbehaved", stored=None)
"""One request is refused. A refresh of ours has nothing that it could refuse."""

TOKEN: Mapping[str, Row] = {
    # The wire.
    "lost": LOST,
    "cut_before": replace(LOST, rotated="ok"),
    "cut": LOST,
    "slow": replace(LOST, options={"seconds": 30}),
    "drip": replace(LOST, options={"seconds": 6}),
    "empty": GARBAGE,
    "html": GARBAGE,
    "not_json": GARBAGE,
    "truncated_json": GARBAGE,
    "invalid_utf8": GARBAGE,
    "wrong_charset": GARBAGE,
    "wrong_content_type": FINE,
    "list_body": GARBAGE,
    "null_body": GARBAGE,
    "huge": replace(GARBAGE, options={"size": 1 << 20}),
    "deep_json": GARBAGE,
    "status_408": PASSING,
    "status_429": PASSING,
    "status_500": PASSING,
    "status_502": PASSING,
    "status_503": PASSING,
    "status_504": PASSING,
    "redirect": REFUSED,
    # Members of the answer.
    "access_token_absent": SALVAGED,
    "access_token_empty": SALVAGED,
    "access_token_not_text": SALVAGED,
    "access_token_with_newline": SALVAGED,
    "access_token_huge": SALVAGED,
    "expires_in_absent": SALVAGED,
    "expires_in_negative": SALVAGED,
    "expires_in_zero": SALVAGED,
    "expires_in_string": FINE,
    "expires_in_text": SALVAGED,
    "expires_in_huge": SALVAGED,
    "expires_in_true": SALVAGED,
    "expires_in_null": SALVAGED,
    "expires_in_nan": GARBAGE,
    "expires_in_float": SALVAGED,
    "expires_in_short": FINE,
    "token_type_absent": SALVAGED,
    "token_type_mac": SALVAGED,
    "token_type_not_text": SALVAGED,
    "token_type_lower": FINE,
    "scope_absent": FINE,
    "scope_not_text": SALVAGED,
    "scope_empty": FINE,
    "scope_narrower": replace(FINE, scopes="narrower"),
    "scope_wider": replace(FINE, scopes="wider"),
    # Of an issuer that rotates nobody could know that a token was meant to come.
    "refresh_token_absent": replace(FINE, stored=WITHOUT_TOKEN, rotated="revoked"),
    "refresh_token_null": replace(FINE, stored=WITHOUT_TOKEN, rotated="revoked"),
    "refresh_token_empty": GARBAGE,
    "refresh_token_not_text": GARBAGE,
    "id_token_absent": Row("identity_unknown", stored=None),
    "id_token_not_text": replace(SALVAGED, stored=None),
    "id_token_empty": replace(SALVAGED, stored=None),
    "id_token_garbage": rejected("token"),
    "id_token_two_parts": rejected("token"),
    "unknown_member": FINE,
    # Refusals: google-facts 2.1.
    "invalid_grant": Row("code_refused", "consent_required", stored=None, state=(BROKEN, Reason.REVOKED)),
    "invalid_rapt": Row(
        "code_refused", "consent_required", stored=None, state=(BROKEN, Reason.REAUTH_REQUIRED)
    ),
    "rapt_required": Row(
        "code_refused", "consent_required", stored=None, state=(BROKEN, Reason.REAUTH_REQUIRED)
    ),
    "admin_policy_enforced": Row(
        "code_refused", "grant_blocked", stored=None, state=(BLOCKED, Reason.ADMIN_POLICY_ENFORCED)
    ),
    "invalid_client": OPERATOR,
    "unauthorized_client": OPERATOR,
    "deleted_client": OPERATOR,
    "disabled_client": OPERATOR,
    "org_internal": OPERATOR,
    "invalid_scope": REQUEST,
    "redirect_uri_mismatch": REQUEST,
    "invalid_request": REQUEST,
    "unsupported_grant_type": REQUEST,
    "invalid_dpop_proof": REQUEST,
    "use_dpop_nonce": REQUEST,
    "error_with_secrets": REQUEST,
    "access_denied": REFUSED,
    "internal_failure": PASSING,
    "server_error": PASSING,
    "temporarily_unavailable": PASSING,
    # A fault without the option `retry_after`.
    "rate_limit_exceeded": replace(PASSING, options={}),
    "error_unknown": REFUSED,
    "error_not_text": REFUSED,
    "error_list": REFUSED,
    "error_absent": REFUSED,
    "error_object": REFUSED,
    "error_with_200": REFUSED,
    # Claims of the ID token.
    "invalid_iss": rejected("iss"),
    "missing_iss": rejected("iss"),
    "iss_not_text": rejected("iss"),
    "iss_without_scheme": rejected("iss"),
    "iss_with_slash": rejected("iss"),
    "invalid_aud": rejected("aud"),
    "missing_aud": rejected("aud"),
    "aud_not_text": rejected("aud"),
    "aud_list": FINE,
    "aud_list_foreign": rejected("aud"),
    "invalid_azp": rejected("azp"),
    "missing_azp": FINE,
    "azp_not_text": rejected("azp"),
    "expired_id_token": rejected("exp"),
    "missing_exp": rejected("exp"),
    "exp_true": rejected("exp"),
    "exp_text": rejected("exp"),
    "exp_far": rejected("exp"),
    "exp_huge": rejected("exp"),
    "iat_future": rejected("iat"),
    "iat_old": FINE,
    "missing_iat": rejected("iat"),
    "iat_true": rejected("iat"),
    "iat_text": rejected("iat"),
    "missing_sub": rejected("sub"),
    "sub_not_text": rejected("sub"),
    "sub_empty": replace(rejected("sub"), refresh="issuer_misbehaved", rotated="answer_lost"),
    "sub_long": replace(rejected("sub"), refresh="issuer_misbehaved", rotated="answer_lost"),
    "sub_not_ascii": replace(rejected("sub"), refresh="issuer_misbehaved", rotated="answer_lost"),
    # Well signed, so at a sign-in it is who signed in; at a refresh it is somebody else's token.
    "another_subject": Row(refresh="issuer_misbehaved", rotated="answer_lost"),
    "nonce_absent": rejected("nonce"),
    "nonce_different": rejected("nonce"),
    "nonce_not_text": rejected("nonce"),
    "at_hash_different": rejected("at_hash"),
    "at_hash_absent": FINE,
    "email_not_text": rejected("email"),
    "email_absent": FINE,
    "email_unverified": FINE,
    "email_verified_text": FINE,
    "hd_different": FINE,
    # Its signature.
    "alg_none": rejected("alg"),
    "alg_hs256": rejected("alg"),
    "alg_unknown": rejected("alg"),
    "kid_unknown": rejected("kid"),
    "kid_missing": rejected("kid"),
    "kid_not_text": rejected("kid"),
    "crit_header": rejected("crit"),
    "bad_signature": rejected("signature"),
    "unpublished_key": rejected("signature"),
    "weak_key": rejected("kid"),
}
"""By the fault's name."""


@dataclass(frozen=True, slots=True)
class Document:
    """
    What a fault of a document that is only read comes to.

    Attributes:
        redeem: The error's code; with ``issuer_unavailable`` nothing was sent and the code stays good.
        claim: What an ``id_token_rejected`` names.
    """

    redeem: str = "ok"
    claim: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


READ = Document()
UNREAD = Document("issuer_unavailable")
NO_KEY = Document("id_token_rejected", claim="kid")

_WIRE: Mapping[str, Document] = {
    "lost": UNREAD,
    "cut_before": UNREAD,
    "cut": UNREAD,
    "slow": replace(UNREAD, options={"seconds": 30}),
    "drip": replace(UNREAD, options={"seconds": 6}),
    "empty": UNREAD,
    "html": UNREAD,
    "not_json": UNREAD,
    "truncated_json": UNREAD,
    "invalid_utf8": UNREAD,
    "wrong_charset": UNREAD,
    "wrong_content_type": READ,
    "list_body": UNREAD,
    "null_body": UNREAD,
    "huge": replace(UNREAD, options={"size": 1 << 20}),
    "deep_json": UNREAD,
    "status_408": UNREAD,
    "status_429": UNREAD,
    "status_500": UNREAD,
    "status_502": UNREAD,
    "status_503": UNREAD,
    "status_504": UNREAD,
    "redirect": UNREAD,
}

CERTS: Mapping[str, Document] = {
    **_WIRE,
    "weak_key": READ,
    "no_keys": UNREAD,
    "duplicate_kid": READ,
    "other_kids": NO_KEY,
    "ec_key": NO_KEY,
    "key_without_kid": NO_KEY,
    "key_without_n": UNREAD,
    "key_use_enc": UNREAD,
    "symmetric_key": UNREAD,
    "keys_not_list": UNREAD,
    "max_age_zero": READ,
    "max_age_absent": READ,
    "max_age_huge": READ,
    "max_age_text": READ,
}
"""Needed for the ID token of a redemption; a refresh does without."""

DISCOVERY: Mapping[str, Document] = {
    **_WIRE,
    "issuer_different": UNREAD,
    "issuer_absent": UNREAD,
    "token_endpoint_absent": UNREAD,
    "token_endpoint_elsewhere": UNREAD,
    "token_endpoint_not_text": UNREAD,
    "jwks_uri_absent": UNREAD,
}
"""Needed for both, by a process that has never read it."""

TOLD, UNTOLD = True, False

REVOKE: Mapping[str, tuple[bool, Mapping[str, Any]]] = {
    "lost": (UNTOLD, {}),
    "cut_before": (UNTOLD, {}),
    "cut": (UNTOLD, {}),
    "slow": (UNTOLD, {"seconds": 30}),
    "drip": (UNTOLD, {"seconds": 6}),
    # 200 and 400 both mean that it is done, whatever stands in the body.
    "empty": (TOLD, {}),
    "html": (TOLD, {}),
    "not_json": (TOLD, {}),
    "truncated_json": (TOLD, {}),
    "invalid_utf8": (TOLD, {}),
    "wrong_charset": (TOLD, {}),
    "wrong_content_type": (TOLD, {}),
    "list_body": (TOLD, {}),
    "null_body": (TOLD, {}),
    "huge": (UNTOLD, {"size": 1 << 20}),
    "deep_json": (TOLD, {}),
    "status_408": (UNTOLD, {}),
    "status_429": (UNTOLD, {"retry_after": 40}),
    "status_500": (UNTOLD, {}),
    "status_502": (UNTOLD, {}),
    "status_503": (UNTOLD, {"retry_after": 40}),
    "status_504": (UNTOLD, {}),
    "redirect": (UNTOLD, {}),
    # What Google says of a token that it does not know any more.
    "invalid_token": (TOLD, {}),
}
"""Whether the issuer counts as told, and the fault's options. The grant is over here in any case."""
