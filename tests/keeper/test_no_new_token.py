"""A dead refresh token and a sign-in that brings no new one: the next sign-in must force consent."""

import pytest

from grantkeeper.errors import ConsentRequired
from grantkeeper.keeper.plan import RedeemRequest
from grantkeeper.library.core import KeeperCore
from grantkeeper.lifecycle import how_to_ask
from grantkeeper.model import GrantState, Reason, Source
from grantkeeper.testing.google import GoogleEmulator
from tests.keeper.conftest import SCOPES

pytestmark = pytest.mark.anyio

ADA = "ada@example.com"


async def test_a_plain_sign_in_that_did_not_help_is_not_advised_twice(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    The reason turns from ``revoked`` to ``no_refresh_token``, and stays so until a new token comes.
    """
    grant = await core.redeem(RedeemRequest(code=google_emulator.code(ADA, SCOPES)))
    google_emulator.advance(200 * 24 * 3600)
    with pytest.raises(ConsentRequired):
        await core.access_token(grant.id)
    dead = await core.grant(grant.id)
    assert (GrantState.NEEDS_CONSENT, Reason.REVOKED) == (dead.state, dead.reason)
    assert "prompt_consent" == how_to_ask(Source.ANDROID, dead, frozenset())

    plain = google_emulator.code(ADA, SCOPES, access_type="online")
    again = await core.redeem(RedeemRequest(code=plain))

    assert (GrantState.NEEDS_CONSENT, Reason.NO_REFRESH_TOKEN) == (again.state, again.reason)
    with pytest.raises(ConsentRequired) as caught:
        await core.access_token(grant.id)
    assert Reason.NO_REFRESH_TOKEN == caught.value.reason
    stored = await core.grant(grant.id)
    assert "force_code" == how_to_ask(Source.ANDROID, stored, frozenset())

    forced = google_emulator.code(ADA, SCOPES, force=True)
    mended = await core.redeem(RedeemRequest(code=forced))

    assert (grant.id, GrantState.ACTIVE, None) == (mended.id, mended.state, mended.reason)
