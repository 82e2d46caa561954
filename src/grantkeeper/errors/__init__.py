"""
Every error that grantkeeper tells anyone about, sorted by who must act.

Each has a `code` that never changes, says whether a later try can help
(`retry`), carries one line for the log and a `hint` for the person. Texts and
hints hold ids and names, never a secret or a personal datum: they are logged
and shown.
"""

from collections.abc import Iterable, Sequence

from grantkeeper.errors.google_api import ApiError as ApiError
from grantkeeper.errors.google_api import ApiMisbehaved as ApiMisbehaved
from grantkeeper.errors.google_api import ApiRefused as ApiRefused
from grantkeeper.errors.google_api import ApiUnavailable as ApiUnavailable
from grantkeeper.errors.google_api import Quota as Quota
from grantkeeper.errors.google_api import QuotaExceeded as QuotaExceeded
from grantkeeper.errors.google_api import ScopeInsufficient as ScopeInsufficient
from grantkeeper.errors.google_api import TokenRefused as TokenRefused
from grantkeeper.errors.root import ERRORS as ERRORS
from grantkeeper.errors.root import GrantkeeperError as GrantkeeperError
from grantkeeper.errors.root import Who as Who
from grantkeeper.errors.root import from_record as from_record
from grantkeeper.errors.root import gather

# -- the caller ---------------------------------------------------------------------------------


class InvalidRequest(GrantkeeperError):
    """A parameter is missing, malformed or not accepted here."""

    code, who = "invalid_request", Who.CALLER
    advice = "Correct the request; the description names the parameter."


class TooLarge(GrantkeeperError):
    """The request's body or a field of it is over its limit."""

    code, who = "too_large", Who.CALLER
    advice = "Send a smaller request; nothing here needs more than a few kilobytes."


class UnsupportedMediaType(GrantkeeperError):
    """The body is neither JSON nor a form."""

    code, who = "unsupported_media_type", Who.CALLER
    advice = "Send Content-Type: application/json or application/x-www-form-urlencoded."


class TooSlow(GrantkeeperError):
    """The request did not arrive in time."""

    code, who, retry = "too_slow", Who.CALLER, True
    advice = "Send the request again over a better connection."


class CallerUnknown(GrantkeeperError):
    """No valid caller key came with the request."""

    code, who = "caller_unknown", Who.CALLER
    advice = "Send Authorization: Bearer <caller key>; `grantkeeper callers create NAME` makes one."


class CallerNotAllowed(GrantkeeperError):
    """The caller's rules do not allow this client, scope or permission."""

    code, who = "caller_not_allowed", Who.CALLER
    advice = (
        "Ask the operator for a caller key whose rules allow this; `grantkeeper callers list` shows them."
    )


class ForgedRequest(GrantkeeperError):
    """The header that a cross-site form cannot send is missing."""

    code, who = "forged_request", Who.CALLER
    advice = "Send the code with the header X-Requested-With and any value."


class OriginNotAllowed(GrantkeeperError):
    """A browser sent the request from a page that the client does not list."""

    code, who = "origin_not_allowed", Who.CALLER
    advice = "Add the page's origin to the client's `origins` if the page is yours."


class HttpsRequired(GrantkeeperError):
    """The request crossed a network in the clear."""

    code, who = "https_required", Who.OPERATOR
    advice = "Put TLS in front and name that proxy in GRANTKEEPER_TRUSTED_PROXIES."


class TooManyRequests(GrantkeeperError):
    """A limit on sign-ins is reached."""

    code, who, retry = "too_many_requests", Who.CALLER, True
    advice = "Wait as Retry-After says; GRANTKEEPER_REDEEM_LIMIT sets the limit."


class ClientUnknown(GrantkeeperError):
    """No OAuth client of that name is configured."""

    code, who = "client_unknown", Who.CALLER
    advice = "Use a name that the settings define under [clients.NAME]."


class GrantNotFound(GrantkeeperError):
    """There is no such grant, or none that this caller may see."""

    code, who = "grant_not_found", Who.CALLER
    advice = "Check the id; the user may never have signed in, or was forgotten."


class GrantAmbiguous(GrantkeeperError):
    """Several grants fit; `details["grants"]` has their ids."""

    code, who = "grant_ambiguous", Who.CALLER
    advice = "Name one of the listed grants by its id."

    def __init__(self, text: str, *, grants: Sequence[str]) -> None:
        super().__init__(text, details={"grants": list(grants)})


class CodeAlreadyRedeemed(GrantkeeperError):
    """This authorization code was posted before by another request."""

    code, who = "code_already_redeemed", Who.CALLER
    advice = (
        "Get a new code by signing in again; send an Idempotency-Key so that a repeat gets the first answer."
    )


class IdempotencyMismatch(GrantkeeperError):
    """An Idempotency-Key came again with another code."""

    code, who = "idempotency_mismatch", Who.CALLER
    advice = "Make a new Idempotency-Key for every new code."


class WrongAccount(GrantkeeperError):
    """Another Google account signed in than the one expected."""

    code, who = "wrong_account", Who.CALLER
    advice = "Let the user choose the account they used before, or detach the old one first."


class IdentityUnknown(GrantkeeperError):
    """Nothing proved whose grant this is."""

    code, who = "identity_unknown", Who.CALLER
    advice = (
        "Within 10 minutes send the same code and Idempotency-Key again with a caller key "
        "and the phone's id_token or your own user id."
    )


class DestinationNotAllowed(GrantkeeperError):
    """The address is not on the list of hosts that may receive a user's token."""

    code, who = "destination_not_allowed", Who.CALLER
    advice = "Add the exact host to GRANTKEEPER_PROXY_HOSTS if it is Google's."


class JobUnknown(GrantkeeperError):
    """No worker has announced a job of that name, or none in the last month."""

    code, who = "job_unknown", Who.CALLER
    advice = "Check the name; `grantkeeper jobs run --app MODULE` announces the jobs that the module defines."


class JobNotFound(GrantkeeperError):
    """There is no such job, or none that this caller may see."""

    code, who = "job_not_found", Who.CALLER
    advice = "Check the id; the job may have ended long ago, or its user was forgotten."


class JobEnded(GrantkeeperError):
    """The job has come to an end that this cannot undo; `details["state"]` says to which."""

    code, who = "job_ended", Who.CALLER
    advice = "Enqueue a new one, with another key where it has one."


# -- the user -----------------------------------------------------------------------------------


class ConsentRequired(GrantkeeperError):
    """Only the user can bring the access back; `reason` says why it is gone."""

    code, who = "consent_required", Who.USER
    advice = "Ask the user to sign in again."

    def __init__(
        self,
        text: str,
        *,
        reason: str,
        missing_scopes: Iterable[str] = (),
        grant: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(
            text,
            hint=hint,
            details={"reason": str(reason), "missing_scopes": sorted(missing_scopes), "grant": grant},
        )

    @property
    def reason(self) -> str:
        """Why, as one of `grantkeeper.model.Reason`."""
        return str(self.details.get("reason", ""))

    @property
    def missing_scopes(self) -> tuple[str, ...]:
        """What would have to be granted, sorted."""
        return tuple(self.details.get("missing_scopes", ()))


class CodeRefused(GrantkeeperError):
    """The issuer refused the authorization code; it is spent."""

    code, who = "code_refused", Who.USER
    advice = "Get a new code by signing in again, and send it at once and only once."


# -- the operator -------------------------------------------------------------------------------


class ClientMisconfigured(GrantkeeperError):
    """The issuer refused our client, not the user's grant."""

    code, who, retry = "client_misconfigured", Who.OPERATOR, True
    advice = "Compare client id and secret with the Google Cloud console; no grant was harmed."


class GrantBlocked(GrantkeeperError):
    """An administrator of the user's organisation forbids a requested service."""

    code, who = "grant_blocked", Who.OPERATOR
    advice = "Ask the user's Workspace administrator to allow the app; the grant is tried again daily."


class SealBroken(GrantkeeperError):
    """A sealed value does not open: another key, another row, or damage."""

    code, who, retry = "seal_broken", Who.OPERATOR, True
    advice = "Give this node the keys.json that sealed the database; nothing was changed."


class SettingsInvalid(GrantkeeperError):
    """The settings cannot be used; `problems` has every reason at once."""

    code, who = "settings_invalid", Who.OPERATOR
    advice = "Correct the settings named above and start again."

    def __init__(self, problems: Sequence[str], *, hint: str | None = None) -> None:
        super().__init__("; ".join(problems), hint=hint, details={"problems": list(problems)})

    @property
    def problems(self) -> tuple[str, ...]:
        """A sentence for every setting that is wrong; names, never values."""
        return tuple(self.details.get("problems", ()))


class BackupRefused(GrantkeeperError):
    """A backup cannot be made or brought back here; nothing was changed."""

    code, who = "backup_refused", Who.OPERATOR
    advice = "The sentence says what stands in the way; nothing was written."


# -- nobody: later ------------------------------------------------------------------------------


class IssuerUnavailable(GrantkeeperError):
    """The issuer cannot be reached or is out of order; ask again with the same token."""

    code, who, retry = "issuer_unavailable", Who.NOBODY, True
    advice = "Try again after the time in Retry-After."


class StoreUnavailable(GrantkeeperError):
    """The database does not answer or cannot write."""

    code, who, retry = "store_unavailable", Who.NOBODY, True
    advice = "Try again shortly; if it lasts, look at the database and its disk."


class OutcomeUnknown(GrantkeeperError):
    """The code was sent and no answer came: it may be spent."""

    code, who = "outcome_unknown", Who.USER
    advice = "Never send this code again; sign in again for a new one."


# -- the issuer ---------------------------------------------------------------------------------


class IssuerMisbehaved(GrantkeeperError):
    """The issuer's answer breaks its specification."""

    code, who = "issuer_misbehaved", Who.ISSUER
    advice = "Check that GRANTKEEPER_ISSUER is right and nothing between alters answers; then ask the issuer."


class IdTokenRejected(GrantkeeperError):
    """An ID token failed a check; `claim` names which and `reason` why."""

    code, who = "id_token_rejected", Who.ISSUER
    advice = "Do not trust this sign-in; if the token is the app's, send one made for this client just now."

    def __init__(self, claim: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(
            f"the ID token's {claim} {reason}", hint=hint, details={"claim": claim, "reason": reason}
        )

    @property
    def claim(self) -> str:
        """The claim or header parameter, ``signature`` or ``token`` for the whole."""
        return str(self.details.get("claim", ""))

    @property
    def reason(self) -> str:
        """What is wrong with it, as the end of a sentence."""
        return str(self.details.get("reason", ""))


class AppIdTokenRejected(IdTokenRejected):
    """The ID token that failed came with the app's own request; same code, the app's fault."""

    who = Who.CALLER


# -- us, inside ---------------------------------------------------------------------------------


class StoreConflict(Exception):
    """Somebody saved in between; nothing was written. Keepers re-read and decide anew."""


class JournalFailed(Exception):
    """The journal could not be written: what was to be kept there is not on disk. Its text says why."""


class HttpFailed(Exception):
    """
    No usable answer came from the network.

    Attributes:
        may_have_arrived: Whether the other side may have acted on the request.
            A request that surely never left may be sent again.
    """

    def __init__(self, text: str, *, may_have_arrived: bool) -> None:
        super().__init__(text)
        self.may_have_arrived = may_have_arrived


class AnswerTooLarge(HttpFailed):
    """The answer was cut off at our limit; the other side has acted."""

    def __init__(self, text: str) -> None:
        super().__init__(text, may_have_arrived=True)


gather()
