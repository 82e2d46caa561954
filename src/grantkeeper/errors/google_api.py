"""What Google's APIs answer instead of doing what was asked in a user's name, sorted by what helps."""

from collections.abc import Iterable
from enum import StrEnum

from grantkeeper.errors.root import GrantkeeperError, Who


class Quota(StrEnum):
    """Who shares a quota of Google's."""

    USER = "user"
    PROJECT = "project"


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
