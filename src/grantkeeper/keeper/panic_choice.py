"""Which grants a panic is about: decided from the grant alone, so that it can be asked again at any time."""

from datetime import datetime

import msgspec

from grantkeeper.model import Grant, GrantState


class Choice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    The grants that fit every rule given; of a rule's values one must fit.

    Attributes:
        clients: Settings names.
        client_ids: The OAuth client ids behind them.
        users: The app's own user ids.
        scopes: Granted ones.
        callers: Ids of callers that a token of the grant was handed out to, or that brought it.
        consented_before: The last consent is older than that.
        consented_since: It is not.
        everything: No rule at all, said aloud.
    """

    clients: tuple[str, ...] = ()
    client_ids: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    callers: tuple[str, ...] = ()
    consented_before: datetime | None = None
    consented_since: datetime | None = None
    everything: bool = False

    @property
    def empty(self) -> bool:
        """Whether nothing was chosen."""
        rules = (self.clients, self.users, self.scopes, self.callers)
        dates = (self.consented_before, self.consented_since)
        return not any(rules) and all(date is None for date in dates) and not self.everything


def consented_at(grant: Grant) -> datetime:
    """When the user last said yes, as far as is known."""
    return grant.consented_at or grant.created_at


def fits(grant: Grant, choice: Choice, begun: datetime) -> bool:
    """
    Whether *grant* is to be revoked by a panic that began at *begun*.

    What the user consented to after that is as the operator wants it already,
    and so is what the issuer has been told of. Callers are not looked at here.
    """
    told = grant.state is GrantState.REVOKED and grant.revocation_due is None
    consented = consented_at(grant)
    return (
        not told
        and consented <= begun
        and (not choice.client_ids or grant.client_id in choice.client_ids)
        and (not choice.users or grant.user in choice.users)
        and (not choice.scopes or not grant.granted.isdisjoint(choice.scopes))
        and (choice.consented_before is None or consented < choice.consented_before)
        and (choice.consented_since is None or consented >= choice.consented_since)
    )
