"""
Whether asking an issuer makes sense now, client by client.

Redemptions and refreshes have gates of their own, so that garbage codes cannot
stop refreshes. The rules are `grantkeeper.backoff.Circuit`'s; here they meet a
clock and dice.
"""

import logging

from grantkeeper.backoff import Circuit, Gate, Trouble
from grantkeeper.errors import ClientMisconfigured, GrantkeeperError, IssuerUnavailable, OutcomeUnknown
from grantkeeper.keeper.means import Means
from grantkeeper.model import Client
from grantkeeper.protocol.token_endpoint import RedirectRefused, RequestRefused

ONE_REQUEST = (RedirectRefused, RequestRefused)
"""Refusals of our client that are about one request: strangers can cause them."""


class Gates:
    """The circuits of one kind of call. Belongs to one loop."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._circuits: dict[str, Circuit] = {}

    def enter(self, client: Client) -> None:
        """
        Pass, or be told how long to wait; who passes must `report`.

        Raises:
            IssuerUnavailable, ClientMisconfigured: Too many calls failed just now; nothing was sent.
        """
        circuit, now = self._circuit(client), self._means.clock.monotonic()
        gate = circuit.gate(now)
        if gate is Gate.PROBE:
            self._circuits[client.client_id] = circuit.probing(now)
        elif gate is Gate.SHUT:
            wait = circuit.wait(now)
            if circuit.trouble is Trouble.MISCONFIGURED:
                raise ClientMisconfigured(
                    "the issuer refused this client a moment ago; nothing was sent", retry_after=wait
                )
            raise IssuerUnavailable(
                "the issuer failed several times in a row; nothing was sent", retry_after=wait
            )

    def report(self, client: Client, error: GrantkeeperError | None, sent_at: float) -> None:
        """
        Tell what came of a call; an error that will pass learns when to try again.

        An answer that is no trouble of the issuer's or of our client's, a
        refused code say, is as good as a success here.

        Args:
            sent_at: When the call left, by the monotonic clock: one that left
                before the circuit shut is no news.
        """
        trouble = _trouble(error)
        circuit, now = self._circuit(client), self._means.clock.monotonic()
        if trouble is None:
            self._circuits[client.client_id] = circuit.succeeded(sent_at)
            return
        assert error is not None
        circuit = circuit.failed(trouble, now, self._means.dice.roll(), error.retry_after, sent_at)
        if circuit.trips > self._circuit(client).trips:
            self._means.tell(
                "circuit.shut", level=logging.ERROR, client=client.name, trouble=trouble, outcome=error.code
            )
        self._circuits[client.client_id] = circuit
        if error.retry and error.retry_after is None:
            error.retry_after = circuit.wait(now)

    def _circuit(self, client: Client) -> Circuit:
        return self._circuits.get(client.client_id) or Circuit()


def _trouble(error: GrantkeeperError | None) -> Trouble | None:
    if isinstance(error, ClientMisconfigured) and not isinstance(error, ONE_REQUEST):
        return Trouble.MISCONFIGURED
    return Trouble.UNAVAILABLE if isinstance(error, (IssuerUnavailable, OutcomeUnknown)) else None
