"""The demo's own web page: sign in by popup or by redirect, and let the backend work."""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import requests
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from grantkeeper.demo.stage import SCOPES, Stage
from grantkeeper.errors import ConsentRequired, GrantkeeperError
from grantkeeper.library.remote import RemoteKeeper

TIMEOUT = 30

FILES = "https://www.googleapis.com/auth/drive.file"
"""A second permission, so that there is one to leave unticked."""


def create_app(stage: Stage) -> Starlette:
    """The page and the few calls of its backend, which holds the caller key."""
    secret = stage.google.get("client_secret.json")
    page = _page(
        {
            "google": stage.google.url,
            "service": stage.service,
            "client_id": secret["web"]["client_id"],
            "scope": " ".join((*SCOPES, FILES)),
        }
    )

    async def home(request: Request) -> Response:
        return HTMLResponse(page)

    async def back(request: Request) -> Response:
        """The redirect flow ends here; the backend fetches what came of it."""
        result = request.query_params.get("result", "")
        if not result:
            return RedirectResponse(f"/#error={request.query_params.get('error', 'nothing')}", 303)
        sent = await run_in_threadpool(
            requests.post,
            stage.service + "/v1/connect/results",
            json={"result": result},
            headers={"Authorization": f"Bearer {stage.caller_key}"},
            timeout=TIMEOUT,
        )
        body = sent.json()
        if sent.status_code != 200:
            return RedirectResponse(f"/#error={body['error']}", 303)
        return RedirectResponse(f"/#grant={body['grant']['id']}", 303)

    async def grant(request: Request) -> Response:
        return await _answered(lambda: _described(stage, request.path_params["grant"]))

    async def work(request: Request) -> Response:
        return await _answered(lambda: _work(stage, request.path_params["grant"]))

    async def hour(request: Request) -> Response:
        await run_in_threadpool(stage.google.advance, 3700)
        return JSONResponse({"advanced": 3700})

    return Starlette(
        routes=[
            Route("/", home),
            Route("/back", back),
            Route("/app/grants/{grant}", grant),
            Route("/app/grants/{grant}/work", work, methods=["POST"]),
            Route("/app/hour", hour, methods=["POST"]),
        ]
    )


def serve(stage: Stage) -> None:
    """Serve the page until interrupted."""
    import uvicorn

    from grantkeeper.cli.common import say

    say(f"the photo app:   {stage.photos}/")
    say(f"the app's page:  {stage.app}/")
    say(f"Google's pages:  {stage.google.url}/")
    say(f"the service:     {stage.service}/docs")
    port = int(stage.app.rsplit(":", 1)[1])
    uvicorn.run(create_app(stage), host="127.0.0.1", port=port, log_level="warning")


async def _answered(work: Any) -> Response:
    """What *work* gives, in a thread because Google's library blocks; or the error to act on."""
    try:
        return JSONResponse(await run_in_threadpool(work))
    except GrantkeeperError as error:
        refused = error
    except Exception as error:
        if not isinstance(error.__cause__, GrantkeeperError):
            raise
        refused = error.__cause__
    reason = refused.reason if isinstance(refused, ConsentRequired) else None
    return JSONResponse({"error": refused.code, "reason": reason, "hint": refused.hint}, 409)


def _described(stage: Stage, grant: str) -> Mapping[str, Any]:
    with RemoteKeeper.open_sync(stage.service, stage.caller_key) as keeper:
        found = keeper.describe(grant)
    return {
        "grant": found.id,
        "name": None if found.profile is None else found.profile.name,
        "email": None if found.profile is None else found.profile.email,
        "state": found.state,
        "scopes": sorted(found.scopes),
        "missing_scopes": sorted(found.missing_scopes),
    }


def _work(stage: Stage, grant: str) -> Mapping[str, Any]:
    """What the backend does while the user is away: one more line in a file of theirs."""
    from googleapiclient.discovery import build
    from googleapiclient.http import MediaInMemoryUpload

    with RemoteKeeper.open_sync(stage.service, stage.caller_key) as keeper:
        drive = build(
            "drive",
            "v3",
            credentials=keeper.credentials(grant),
            discoveryServiceUrl=stage.google.url + "/discovery/v1/apis/{api}/{apiVersion}/rest",
            static_discovery=False,
            cache_discovery=False,
        )
        media = MediaInMemoryUpload(b"made while you were away", mimetype="text/plain")
        body = {"name": "note.txt", "parents": ["appDataFolder"]}
        drive.files().create(body=body, media_body=media).execute()
        found = drive.files().list(spaces="appDataFolder", fields="files(name,size,createdTime)").execute()
    return {"files": found["files"]}


def _page(values: Mapping[str, str]) -> str:
    page = files("grantkeeper.demo").joinpath("assets/page.html").read_text(encoding="utf-8")
    # Inside a script element only "<" could end it early.
    return page.replace("__VALUES__", json.dumps(values).replace("<", "\\u003c")).replace(
        "__GOOGLE__", values["google"]
    )
