"""
``python -m bench.race [PART …]``: the race kit on grantkeeper and on the hand-written service, side by side.

Both run as two processes on one SQLite file. The hand-written one has no clock that could be moved: what
an hour later would be is written into its rows.
"""

import argparse
import hashlib
import json
import secrets
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from cryptography.fernet import Fernet
from google.oauth2.credentials import Credentials
from sqlalchemy.orm import Session

from bench.handwritten import CALLER_KEY, DATABASE, FERNET_KEY, Grant, engine, fill
from bench.load import ROOT
from grantkeeper.testing.google import Code
from grantkeeper.testing.processes import without_settings
from grantkeeper.testing.race import PARTS, Ask, Outcome, Place, Race, Sizes, Target, side_by_side
from grantkeeper.testing.race.ours import Grantkeeper

NODE = """\
import sys
from google.oauth2 import credentials
credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT = sys.argv[1]
from bench.handwritten import main
main()
"""
"""google-auth's address of the token endpoint cannot be set: here the emulator takes its place."""


class Handwritten(Target):
    """`bench.handwritten`, as it is."""

    name = "by hand"

    def __init__(self) -> None:
        self._caller = secrets.token_urlsafe(32)
        self._fernet_key = Fernet.generate_key().decode()
        self._grants = 0

    def prepare(self, place: Place) -> None:
        fill(self._path(place), self._fernet_key, {})

    def command(self, place: Place) -> Sequence[str]:
        return [sys.executable, "-c", NODE, place.client["token_uri"]]

    def environment(self, place: Place) -> Mapping[str, str]:
        return without_settings() | {
            "PYTHONPATH": str(ROOT),
            DATABASE: self._path(place),
            FERNET_KEY: self._fernet_key,
            CALLER_KEY: hashlib.sha256(self._caller.encode()).hexdigest(),
        }

    def sign_in(self, place: Place, url: str, code: Code) -> str:
        client = place.client
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": client["client_id"],
            "client_secret": client["client_secret"],
            "redirect_uri": "",
        }
        request = Request(client["token_uri"], data=urlencode(form).encode())
        with build_opener(ProxyHandler({})).open(request, timeout=60) as answer:
            told = json.loads(answer.read())
        credentials = Credentials(
            told["access_token"],
            refresh_token=told["refresh_token"],
            token_uri=client["token_uri"],
            client_id=client["client_id"],
            client_secret=client["client_secret"],
            scopes=told["scope"].split(),
            expiry=_in(told["expires_in"]),
        )
        self._grants += 1
        grant = f"grant-{self._grants}"
        database = engine(self._path(place))
        with Session(database) as db:
            sealed = Fernet(self._fernet_key).encrypt(credentials.to_json().encode())
            db.add(Grant(id=grant, email=f"{code.sub}@example.com", credentials=sealed))
            db.commit()
        database.dispose()
        return grant

    def ask(self, grant: str) -> Ask:
        headers = {"Authorization": f"Bearer {self._caller}", "Content-Type": "application/json"}
        return Ask("/v1/token", json.dumps({"grant": grant}).encode(), headers)

    def pass_time(self, place: Place, seconds: float) -> None:
        super().pass_time(place, seconds)
        fernet = Fernet(self._fernet_key)
        database = engine(self._path(place))
        with Session(database) as db:
            for row in db.query(Grant):
                kept: dict[str, Any] = json.loads(fernet.decrypt(row.credentials))
                end = datetime.fromisoformat(kept["expiry"]) - timedelta(seconds=seconds)
                # As google-auth writes it.
                kept["expiry"] = end.replace(tzinfo=None).isoformat() + "Z"
                row.credentials = fernet.encrypt(json.dumps(kept).encode())
            db.commit()
        database.dispose()

    @staticmethod
    def _path(place: Place) -> str:
        return str(place.folder / "handwritten.db")


def _in(seconds: float) -> datetime:
    """So long from now, naive and in UTC as google-auth has it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).replace(tzinfo=None)


def race(parts: Sequence[str], *, seed: int, sizes: Sizes) -> list[Outcome]:
    """Both, one after the other."""
    targets = (Grantkeeper(), Handwritten())
    return [Race(target, sizes=sizes, seed=seed).run(parts) for target in targets]


def main(arguments: Sequence[str]) -> int:
    """Race both and tell; 0 whatever is shown."""
    parser = argparse.ArgumentParser(prog="python -m bench.race", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; default all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="few of everything")
    parser.add_argument("--json", type=Path, help="write what was found to this file")
    parser.add_argument("--report", type=Path, help="write the page of the documentation to this file")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.parts if name not in PARTS]
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    sizes = Sizes(grants=4, requests=20, rounds=1, slow=1.0) if chosen.short else Sizes(lease=20.0)
    outcomes = race(chosen.parts or tuple(PARTS), seed=chosen.seed, sizes=sizes)
    print(side_by_side(outcomes))
    if chosen.json:
        chosen.json.write_text(f"[{','.join(outcome.json() for outcome in outcomes)}]\n", encoding="utf-8")
    if chosen.report:
        chosen.report.parent.mkdir(parents=True, exist_ok=True)
        chosen.report.write_text(report(outcomes), encoding="utf-8")
    return 0


def report(outcomes: Sequence[Outcome]) -> str:
    """The page."""
    how = (
        'Made by `make race ARGS="--report docs/reports/race.md"`: the '
        "[race kit](../how-to/race-a-token-service.md) on grantkeeper and on the hand-written service of "
        f"`bench/`, {outcomes[0].nodes} processes each, seed {outcomes[0].seed}. Seconds "
        "are of a busy machine and compare nothing."
    )
    reasons = [
        f"* {outcome.target}, {defect}: {outcome.verdict(defect)[1]}."
        for outcome in outcomes
        for defect in outcome.shown
    ]
    why = ["What was shown, and by what:", "\n".join(reasons)] if reasons else []
    return "\n\n".join(["# Two token services raced", how, side_by_side(outcomes), *why]) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
