"""What a person reads whose sign-in stops at us: what happened, and what to do. The log has the rest."""

from typing import Final, NamedTuple

from grantkeeper.errors import GrantkeeperError, IssuerUnavailable, StoreUnavailable, TooManyRequests, Who
from grantkeeper.keeper.connect import SignInLost


class Words(NamedTuple):
    """A sentence, and the one that says what helps."""

    text: str
    hint: str


_AGAIN: Final = "Wait a minute, then go back to the app and sign in again."

AWAY: Final = Words("The service that you sign in with does not answer.", _AGAIN)
BUSY: Final = Words("This app's sign-in is not available just now.", _AGAIN)
SLOWLY: Final = Words("There were too many sign-ins from your network just now.", _AGAIN)
LINK: Final = Words(
    "The app has sent you here in a way that does not work.",
    "Go back to the app and start the sign-in again. If that does not help, tell the people who run the app.",
)
OURS: Final = Words(
    "Something is wrong with this app's sign-in. You did nothing wrong.",
    "Try again later. If it stays so, tell the people who run the app.",
)


def words(error: GrantkeeperError) -> Words:
    """What to tell the person whom *error* stops."""
    match error:
        case SignInLost():
            return Words(f"{error.text[0].upper()}{error.text[1:]}.", error.hint)
        case IssuerUnavailable():
            return AWAY
        case StoreUnavailable():
            return BUSY
        case TooManyRequests():
            return SLOWLY
    return LINK if error.who is Who.CALLER else OURS
