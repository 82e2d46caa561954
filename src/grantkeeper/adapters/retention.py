"""How long a database keeps what only helps its readers; the same for each."""

FEED_SECONDS = 600
FEED_ROWS = 100_000
"""The change feed keeps this much; a reader that was away longer looks at everything again."""

NODE_SECONDS = 3600
"""A node that was not heard for this long is gone."""

LEASE_SECONDS = 600
"""A lease that ended this long ago was never given back: its owner is dead. See `SOUGHT_LEASES`."""

PACE_SECONDS = 60
"""
A rate that is full again for this long says nothing any more; nor does a pause that is over for this long
and for as long again as it lasted.
"""
