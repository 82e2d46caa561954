"""The founding guide's story, step by step, each one checked."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from grantkeeper.demo.photos_story import play_photos
from grantkeeper.demo.stage import SCOPES, Stage
from grantkeeper.demo.telling import Teller
from grantkeeper.errors import ConsentRequired
from grantkeeper.library.remote import RemoteKeeper

ADA = "ada@example.com"
HOUR = 3700
TIMEOUT = 30


def play(stage: Stage, teller: Teller, report: str) -> None:
    """
    Play the story on *stage*; its pictures are written to the file *report*.

    Raises:
        NotAsTold: A step went another way.
    """
    teller.title(
        "Access Google APIs from your app backend",
        "A phone signs in; its user leaves; the backend goes on. Google is an emulator, all else is real.",
    )
    code = _sign_in(stage, teller)
    grant = _redeem(stage, teller, code)
    with RemoteKeeper.open_sync(stage.service, stage.caller_key) as keeper:
        drive = _go_away(stage, teller, keeper, grant)
        _work(teller, drive)
        _crowd(stage, teller, keeper, grant)
        _take_back(stage, teller, keeper, grant, drive)
    play_photos(stage, teller, ADA, report)


def _sign_in(stage: Stage, teller: Teller) -> str:
    teller.chapter("A phone signs in")
    teller.tell(f"Ada ({ADA}) taps “Sign in with Google” and allows the app its own folder in her Drive.")
    code = str(stage.google.code(ADA, SCOPES, source="ios"))
    teller.tell("The app gets a one-time code. It must reach the backend, and nobody else.")
    teller.show("serverAuthCode", f"{code[:4]}… ({len(code)} characters, good once)")
    return code


def _redeem(stage: Stage, teller: Teller, code: str) -> str:
    teller.chapter("Somebody forges the post")
    url = stage.service + "/v1/redeem"
    forged = requests.post(url, json={"code": code}, timeout=TIMEOUT)
    teller.tell("A page on another site posts a code. It cannot set the header X-Requested-With.")
    answer = (forged.status_code, forged.json()["error"])
    teller.expect("403 forged_request, and nothing else happened", answer, (403, "forged_request"))
    teller.expect("Google was not asked", _asked(stage, "authorization_code"), 0)

    teller.chapter("The app posts its code")
    headers = {"X-Requested-With": "XmlHttpRequest", "Idempotency-Key": "demo-0123456789-abcdefgh"}
    sent = requests.post(url, json={"code": code, "source": "ios"}, headers=headers, timeout=TIMEOUT)
    body = sent.json()
    teller.expect("200: the code became a grant, stored and sealed before this answer", sent.status_code, 200)
    teller.show("who", f"{body['profile']['name']} <{body['profile']['email']}>")
    teller.show("grant", body["grant"]["id"])
    teller.show("scopes", ", ".join(scope.rsplit("/", 1)[-1] for scope in body["grant"]["scopes"]))
    teller.expect("Every scope was granted", body["grant"]["missing_scopes"], [])
    secrets = [word for word in ("ya29.", "1//") if word in sent.text]
    teller.expect("No token of Google's is in the answer", secrets, [])
    again = requests.post(url, json={"code": code, "source": "ios"}, headers=headers, timeout=TIMEOUT)
    teller.tell("The phone lost the answer and posts again, with the same Idempotency-Key.")
    teller.expect("The same grant is the answer", again.json()["grant"]["id"], body["grant"]["id"])
    teller.expect("Google saw the code once", _asked(stage, "authorization_code"), 1)
    return str(body["grant"]["id"])


def _go_away(stage: Stage, teller: Teller, keeper: Any, grant: str) -> Any:
    from googleapiclient.discovery import build

    teller.chapter("Ada closes the app. An hour passes")
    stage.google.advance(HOUR)
    teller.tell("The access token of the sign-in is dead. The backend holds a caller key and Ada's grant id.")
    drive = build(
        "drive",
        "v3",
        credentials=keeper.credentials(grant),
        discoveryServiceUrl=stage.google.url + "/discovery/v1/apis/{api}/{apiVersion}/rest",
        static_discovery=False,
        cache_discovery=False,
    )
    folder = drive.files().get(fileId="appfolder").execute()
    teller.tell('Google\'s own library: drive.files().get(fileId="appfolder").execute()')
    teller.expect("It reads the app's folder in her Drive", folder["name"], "Application Data")
    teller.expect("One refresh made it possible", _asked(stage, "refresh_token"), 1)
    return drive


def _work(teller: Teller, drive: Any) -> None:
    from googleapiclient.http import MediaInMemoryUpload

    teller.chapter("The backend works for her")
    note = {"made_for": ADA, "while": "she was away"}
    media = MediaInMemoryUpload(json.dumps(note).encode(), mimetype="application/json")
    made = drive.files().create(body={"name": "note.json", "parents": ["appDataFolder"]}, media_body=media)
    name = made.execute()["name"]
    teller.tell("It writes a file into the folder and reads it back.")
    listed = drive.files().list(spaces="appDataFolder", q=f"name = '{name}'").execute()["files"]
    content = drive.files().get_media(fileId=listed[0]["id"]).execute()
    teller.expect("The file is there, and says what was written", json.loads(content), note)


def _crowd(stage: Stage, teller: Teller, keeper: Any, grant: str) -> None:
    teller.chapter("Another hour. Twenty workers need a token in the same moment")
    stage.google.advance(HOUR)
    before = _asked(stage, "refresh_token")
    with ThreadPoolExecutor(20) as pool:
        tokens = list(pool.map(lambda _: keeper.access_token(grant).reveal(), range(20)))
    teller.expect("All twenty have the same new token", len(set(tokens)), 1)
    teller.expect("Google was asked once", _asked(stage, "refresh_token") - before, 1)


def _take_back(stage: Stage, teller: Teller, keeper: Any, grant: str, drive: Any) -> None:
    from google.auth.exceptions import RefreshError

    teller.chapter("Ada takes her access back")
    stage.google.revoke(ADA)
    teller.tell("She does so in her Google account; nobody tells the backend. Its next call finds out.")
    refused: ConsentRequired | None = None
    try:
        drive.files().list(spaces="appDataFolder").execute()
    except RefreshError as error:
        refused = error.__cause__ if isinstance(error.__cause__, ConsentRequired) else None
    reason = None if refused is None else refused.reason
    teller.expect("The call says why: consent_required, reason revoked", reason, "revoked")
    if refused is not None:
        teller.show("what to do", refused.hint)
    state = keeper.describe(grant)
    teller.expect("The grant says so too, and keeps its history", str(state.state), "needs_consent")
    code = str(stage.google.code(ADA, SCOPES, source="ios"))
    teller.tell("Some day she comes back and signs in again.")
    headers = {"X-Requested-With": "XmlHttpRequest"}
    sent = requests.post(stage.service + "/v1/redeem", json={"code": code}, headers=headers, timeout=TIMEOUT)
    back = sent.json()["grant"]
    teller.expect("It is the same grant, alive again", (back["id"], back["state"]), (grant, "active"))


def _asked(stage: Stage, kind: str) -> int:
    """How often Google's token endpoint was asked for *kind*."""
    outcomes = stage.google.stats().get("token", {}).get(kind, {})
    return int(sum(outcomes.values()))
