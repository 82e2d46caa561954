"""Telling everybody which jobs there are: a mark in the store, which the desk reads."""

import msgspec

from grantkeeper.jobs.desk import KINDS, Kind
from grantkeeper.jobs.means import Means


async def announce(means: Means) -> None:
    """
    Write down the jobs of this worker beside those that others have announced.

    Two apps that use one name for different jobs would get each other's: the last one to say so stands.
    """
    while True:
        said = await means.store.mark(KINDS)
        known = {} if said is None else msgspec.json.decode(said, type=dict[str, Kind])
        wanted = known | {
            name: Kind(tuple(sorted(each.scopes)), each.per_grant, dict(each.schema))
            for name, each in means.definitions.items()
        }
        if wanted == known:
            return
        # Another app may announce its own at this moment: then we look again.
        await means.store.swap_mark(KINDS, msgspec.json.encode(wanted), was=said)
