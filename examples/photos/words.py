"""What a user reads where something does not work: what happened, and what to do. Why, the log knows."""

from dataclasses import dataclass, replace

import requests
from starlette.exceptions import HTTPException

from grantkeeper.errors import (
    CodeRefused,
    GrantBlocked,
    GrantNotFound,
    IdTokenRejected,
    InvalidRequest,
    IssuerMisbehaved,
    IssuerUnavailable,
    JobEnded,
    OutcomeUnknown,
    StoreUnavailable,
    TooManyRequests,
)


@dataclass(frozen=True)
class Words:
    """
    One page of them.

    Attributes:
        then: What the user can do.
        link: Where the button leads, and what is on it.
    """

    status: int
    heading: str
    text: str
    then: str
    link: tuple[str, str] = ("/", "Back to the start")


SIGN_IN = ("/sign-in", "Sign in with Google")

AWAY = Words(503, "Google does not answer", "We could not reach Google just now.", "Try again in a minute.")
SLOWLY = Words(503, "Not so fast", "There were too many requests just now.", "Try again in a few minutes.")
OURS = Words(
    500, "That did not work", "Something is wrong on our side. We have written it down.", "Try again later."
)
BUSY = Words(503, "That did not work", "We cannot get at our own notes just now.", "Try again in a minute.")
GONE = Words(
    404,
    "There is no such page",
    "It is gone, it was never there, or it is somebody else's.",
    "Begin where you began.",
)
FOREIGN = Words(
    403, "Nothing was done", "This form was sent from another site.", "Do it here, if you want it."
)
NO_ACCESS = Words(
    403, "We have no access any more", "The access that you gave us is gone.", "Sign in again.", SIGN_IN
)
BLOCKED = Words(
    403,
    "Your organisation does not allow it",
    "Who administers your Google account has not allowed this app.",
    "Ask there, or sign in with another account.",
    SIGN_IN,
)
SIGN_IN_OVER = Words(
    400, "The sign-in is over", "It was used already, or it took too long.", "Sign in once more.", SIGN_IN
)
SIGN_IN_FAILED = Words(
    503, "The sign-in did not work", "Google's answer was of no use.", "Sign in once more.", SIGN_IN
)
JOB_ENDED = Words(409, "It has ended", "This work has come to its end meanwhile.", "Look at your jobs.")
LEAVING = Words(
    503,
    "Google does not know yet",
    "We have stopped using your access, but Google did not answer when we gave it back.",
    "If you are still signed in here, press “Forget me” again in a few minutes. You can also end the access "
    "yourself, at myaccount.google.com/connections.",
)

_SIGN_IN_FAILURES = (CodeRefused, IdTokenRejected, IssuerMisbehaved, OutcomeUnknown)


def words(error: Exception, path: str) -> Words:
    """What to say of *error*, which ended a request for *path*."""
    match error:
        case HTTPException():
            return replace(GONE, status=error.status_code)
        case GrantNotFound():
            return NO_ACCESS
        case GrantBlocked():
            return BLOCKED
        case JobEnded():
            return JOB_ENDED
        case TooManyRequests():
            return SLOWLY
        case StoreUnavailable():
            return BUSY
        case IssuerUnavailable():
            return LEAVING if path == "/forget-me" else AWAY
        case InvalidRequest() if path == "/back":
            return SIGN_IN_OVER
        case requests.RequestException() if _may_pass(error):
            return AWAY
        case _ if isinstance(error, _SIGN_IN_FAILURES):
            return SIGN_IN_FAILED
    return OURS


def _may_pass(error: requests.RequestException) -> bool:
    """Whether Google was not reached, or asks to come again; what it refuses stays refused."""
    return error.response is None or error.response.status_code == 429 or error.response.status_code >= 500
