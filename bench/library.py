"""A fresh token inside a program: the keeper's credentials beside google-auth's own."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

from google.oauth2.credentials import Credentials

from bench.figures import Aim, Figure, Part
from bench.sizes import Sizes
from bench.stage import CLIENT_ID, SCOPES, furnish
from grantkeeper import Keeper

URL = "https://www.googleapis.com/drive/v3/files"


def library(sizes: Sizes, directory: Path) -> Part:
    """What one ``before_request`` costs."""
    stage = furnish(directory, readable=1)
    with Keeper.open_sync(
        stage.database, clients=directory / "client_secret.json", keys=directory / "keys.json"
    ) as keeper:
        ours = keeper.credentials(stage.readable[0])
        theirs = Credentials(
            token="ya29." + "t" * 214,
            refresh_token="1//" + "r" * 100,
            token_uri="https://oauth2.googleapis.com/token",
            client_id=CLIENT_ID,
            client_secret="GOCSPX-" + "s" * 28,
            scopes=sorted(SCOPES),
            expiry=(datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None),
        )
        rounds: dict[Any, list[float]] = {ours: [], theirs: []}
        _each(ours, 1000), _each(theirs, 1000)
        for number in range(max(sizes.rounds * 3, 1)):
            for credentials in (ours, theirs) if number % 2 == 0 else (theirs, ours):
                rounds[credentials].append(_each(credentials, sizes.calls))
    over = [mine - other for mine, other in zip(rounds[ours], rounds[theirs], strict=True)]
    return Part(
        name="library",
        title="A fresh token inside a program",
        about=(
            "One call of `before_request`, which Google's libraries make before every HTTP request, "
            "by `keeper.credentials(id)` and by `google.oauth2.credentials.Credentials`. Ours also makes "
            "sure in the keeper's memory that the grant has not been revoked meanwhile."
        ),
        figures=[
            Figure.of("ours over google-auth's own", "µs", over, Aim(most=2.0)),
            Figure.of("keeper.credentials(id)", "µs", rounds[ours]),
            Figure.of("google.oauth2.credentials", "µs", rounds[theirs]),
        ],
    )


def _each(credentials: Any, calls: int) -> float:
    """Microseconds a call."""
    before_request = credentials.before_request
    started = perf_counter()
    for _ in range(calls):
        # New headers each time, as for each request: google-auth adds to what it finds there.
        before_request(None, "GET", URL, {})
    return (perf_counter() - started) / calls * 1e6
