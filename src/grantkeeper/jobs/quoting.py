"""
What may be quoted of an error that an author's code raised: all but what opens something.

Libraries put the header that they sent, or an upload's address, into their messages.
"""

import re
from collections.abc import Iterable
from traceback import format_exception
from typing import Final

from grantkeeper.secret import AccessToken

STARS: Final = "****"

_OPENS: Final = re.compile(
    r"\bya29\.[\w.~+/-]+=*"  # Google's access tokens
    r"|\b1//[\w-]+"  # and refresh tokens
    r"|(?i:(?<=\bbearer )|(?<=\baccess_token=)|(?<=\bupload_id=))[^\s&\"'<>,;]+"
)


def quotable(text: str, given: Iterable[AccessToken] = ()) -> str:
    """*text* with stars for what looks as if it opened something, and for the tokens *given* out."""
    for token in given:
        text = text.replace(token.reveal(), STARS)
    return _OPENS.sub(STARS, text)


def tellable(error: Exception, given: Iterable[AccessToken]) -> Exception:
    """
    *error* for a log, which may print all that hangs on it.

    If there is something to hide in that, it is one of the same name, text and traceback and nothing else.
    """
    whole = "".join(format_exception(error))
    if quotable(whole, given) == whole:
        return error
    kind = type(type(error).__name__, (Exception,), {"__module__": type(error).__module__})
    told: Exception = kind(quotable(str(error), given))
    return told.with_traceback(error.__traceback__)
