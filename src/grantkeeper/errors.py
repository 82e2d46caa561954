"""
Every error that grantkeeper tells anyone about, sorted by who must act.

Each has a `code` that never changes, says whether a later try can help
(`retry`), carries one line for the log and a `hint` for the person. Texts and
hints hold ids and names, never a secret or a personal datum: they are logged
and shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar


class Who(StrEnum):
    """Who can mend it."""

    CALLER = "caller"
    USER = "user"
    OPERATOR = "operator"
    NOBODY = "nobody"
    ISSUER = "issuer"


class Quota(StrEnum):
    """Who shares a quota of Google's."""

    USER = "user"
    PROJECT = "project"


class GrantkeeperError(Exception):
    """
    The root of the tree; raised only through its children.

    Args:
        text: One line for the log and for ``error_description``.
        hint: What the person should do, where the class's own advice is too general.
        retry_after: Seconds after which another try makes sense, where known.
        details: What else a program may want, by the names HTTP uses; only
            values that JSON knows.
    """

    code: ClassVar[str]
    who: ClassVar[Who]
    retry: ClassVar[bool] = False
    advice: ClassVar[str] = ""

    def __init__(
        self,
        text: str,
        *,
        hint: str | None = None,
        retry_after: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(text)
        self.text = text
        self.hint = self.advice if hint is None else hint
        self.retry_after = retry_after
        self.details: dict[str, Any] = dict(details or {})

    def as_record(self) -> dict[str, Any]:
        """What `from_record` needs to raise the same error again, in JSON's own types."""
        return {
            "error": self.code,
            "kind": next(kind.__name__ for kind in type(self).__mro__ if kind.__name__ in _KINDS),
            "error_description": self.text,
            "hint": self.hint,
            "retry_after": self.retry_after,
            "details": dict(self.details),
        }

    def __reduce__(self) -> tuple[Any, ...]:
        # The way of Exception, calling the class with its args, fits none whose arguments have names.
        return from_record, (self.as_record(),)


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
    """No worker has announced a job of that name."""

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

    def __init__(self, claim: str, reason: str) -> None:
        super().__init__(f"the ID token's {claim} {reason}", details={"claim": claim, "reason": reason})

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


# -- Google's APIs, in a user's name ------------------------------------------------------------


class ApiError(GrantkeeperError):
    """An API of Google's did not do what was asked in a user's name; its children say what helps."""

    @property
    def status(self) -> int | None:
        """Of the answer; ``None`` where none came."""
        found = self.details.get("status")
        return found if isinstance(found, int) else None

    @property
    def reason(self) -> str:
        """Google's own word for it, such as ``storageQuotaExceeded``; empty where it gave none."""
        return str(self.details.get("reason", ""))


class QuotaExceeded(ApiError):
    """A quota of a Google API is used up; nothing was done. `whose` says who has to wait."""

    code, who, retry = "quota_exceeded", Who.NOBODY, True
    advice = "It goes on by itself; ask for more quota in Google's console if it happens often."

    def __init__(
        self,
        text: str,
        *,
        whose: Quota,
        status: int | None = 429,
        reason: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(
            text, retry_after=retry_after, details={"whose": whose, "status": status, "reason": reason}
        )

    @property
    def whose(self) -> Quota:
        """Whether this user has to wait or all users of the project."""
        return Quota(self.details.get("whose", Quota.USER))


class ApiUnavailable(ApiError):
    """A Google API is out of order, too slow, or was not reached; `may_have_arrived` is the question then."""

    code, who, retry = "api_unavailable", Who.NOBODY, True
    advice = "It is tried again by itself; look at Google's status page if it lasts."

    def __init__(
        self,
        text: str,
        *,
        status: int | None = None,
        reason: str = "",
        may_have_arrived: bool = True,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(
            text,
            retry_after=retry_after,
            details={"status": status, "reason": reason, "may_have_arrived": may_have_arrived},
        )

    @property
    def may_have_arrived(self) -> bool:
        """Whether Google may have done what was asked all the same."""
        return self.details.get("may_have_arrived") is not False


class ApiMisbehaved(ApiError):
    """A Google API said yes, and what it said cannot be read; what was asked is probably done."""

    code, who, retry = "api_misbehaved", Who.ISSUER, True
    advice = "Check that nothing between alters answers; a new release of grantkeeper may know better."


class TokenRefused(ApiError):
    """A Google API refuses the user's access token, a new one too."""

    code, who = "token_refused", Who.USER
    advice = "Ask the user to sign in again."

    def __init__(self, text: str, *, status: int | None = 401, reason: str = "") -> None:
        super().__init__(text, details={"status": status, "reason": reason})


class ScopeInsufficient(ApiError):
    """The access token does not open what was asked of a Google API; `missing_scopes` would."""

    code, who = "scope_insufficient", Who.USER
    advice = "Name the scope in the job, and ask the user to grant it."

    def __init__(
        self,
        text: str,
        *,
        missing_scopes: Iterable[str] = (),
        status: int | None = 403,
        reason: str = "",
    ) -> None:
        super().__init__(
            text, details={"missing_scopes": sorted(missing_scopes), "status": status, "reason": reason}
        )

    @property
    def missing_scopes(self) -> tuple[str, ...]:
        """Any of these would do, as Google says; sorted, empty where it does not."""
        return tuple(self.details.get("missing_scopes", ()))


class ApiRefused(ApiError):
    """A Google API refuses what was asked, and will again; `status` and `reason` say what."""

    code, who = "api_refused", Who.CALLER
    advice = "Look the reason up in the API's own reference, and correct the request or Google's console."

    def __init__(self, text: str, *, status: int | None, reason: str = "", hint: str | None = None) -> None:
        super().__init__(text, hint=hint, details={"status": status, "reason": reason})


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


def _tree(kind: type[GrantkeeperError]) -> list[type[GrantkeeperError]]:
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in _tree(child))]


_KINDS: Mapping[str, type[GrantkeeperError]] = {
    kind.__name__: kind for kind in _tree(GrantkeeperError) if hasattr(kind, "code")
}

ERRORS: Mapping[str, type[GrantkeeperError]] = {kind.code: kind for kind in reversed(list(_KINDS.values()))}
"""Every public error by its code; where two share one, the more general."""


def from_record(record: Mapping[str, Any]) -> GrantkeeperError:
    """
    The error that `GrantkeeperError.as_record` wrote down.

    A kind of another release that is not known here comes back as the general
    error of its code.

    Raises:
        KeyError: The record names no code that this release knows.
    """
    kind = ERRORS[record["error"]]
    named = _KINDS.get(str(record.get("kind")))
    if named is not None and issubclass(named, kind):
        kind = named
    error = kind.__new__(kind)
    GrantkeeperError.__init__(
        error,
        record["error_description"],
        hint=record.get("hint"),
        retry_after=record.get("retry_after"),
        details=record.get("details"),
    )
    return error
