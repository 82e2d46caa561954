"""
How records become columns and back, the same for every database.

Times are whole microseconds since 1970, sets sorted texts with single spaces,
enums their values, sealed values two columns. A list of columns here is the
order of every row that goes in or comes out.
"""

from grantkeeper.adapters.records.grants import (
    GRANT,
    GRANT_CONTENT,
    GRANT_FIXED,
    GRANT_INDEXED,
    GRANT_VERSION,
    TOKEN,
    grant_content,
    grant_fixed,
    grant_indexed,
    grant_of,
    grant_row,
    token_of,
    token_row,
)
from grantkeeper.adapters.records.lists import LISTS
from grantkeeper.adapters.records.others import (
    CALLER,
    EVENT,
    NODE,
    REDEMPTION,
    SIGNING_KEY,
    UNSETTLED,
    caller_of,
    caller_row,
    event_of,
    event_row,
    node_of,
    node_row,
    redemption_of,
    redemption_row,
    settled_row,
    signing_key_of,
    signing_key_row,
)
from grantkeeper.adapters.records.values import Row, at_instant, column_text, instant

__all__ = [
    "CALLER",
    "EVENT",
    "GRANT",
    "GRANT_CONTENT",
    "GRANT_FIXED",
    "GRANT_INDEXED",
    "GRANT_VERSION",
    "LISTS",
    "NODE",
    "REDEMPTION",
    "SIGNING_KEY",
    "TOKEN",
    "UNSETTLED",
    "Row",
    "at_instant",
    "caller_of",
    "caller_row",
    "column_text",
    "event_of",
    "event_row",
    "grant_content",
    "grant_fixed",
    "grant_indexed",
    "grant_of",
    "grant_row",
    "instant",
    "node_of",
    "node_row",
    "redemption_of",
    "redemption_row",
    "settled_row",
    "signing_key_of",
    "signing_key_row",
    "token_of",
    "token_row",
]
