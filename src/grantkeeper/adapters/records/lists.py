"""The lists of columns by the names that statements give them."""

from grantkeeper.adapters.records.grants import GRANT, GRANT_CONTENT, GRANT_INDEXED, TOKEN
from grantkeeper.adapters.records.jobs import JOB, JOB_STANDING
from grantkeeper.adapters.records.others import CALLER, EVENT, NODE, REDEMPTION, SIGNING_KEY

LISTS = {
    "grant": GRANT,
    "grant_content": GRANT_CONTENT,
    "grant_indexed": GRANT_INDEXED,
    "token": TOKEN,
    "redemption": REDEMPTION,
    "caller": CALLER,
    "signing_key": SIGNING_KEY,
    "node": NODE,
    "event": EVENT,
    "job": JOB,
    "job_standing": JOB_STANDING,
}
"""The column lists that statements name in braces."""
