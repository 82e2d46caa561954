"""The web app: sign in with Google, pick photos, watch them become better. The work itself is in jobs.py."""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import requests
from book import Book, Pick, Visitor
from places import ADDING, EXPORT, PICKER_API, PICKING, READING, Folder
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from words import FOREIGN, Words, words

from grantkeeper import Keeper
from grantkeeper.errors import ConsentRequired, GrantkeeperError, GrantNotFound, JobNotFound
from grantkeeper.library.job_calls import JobCalls
from grantkeeper.model import JobDescription
from grantkeeper.settings import load_settings

LOG = logging.getLogger("brighter")
HERE = Path(__file__).parent
NEEDED = (PICKING, ADDING, READING)
SCOPES = ("openid", "email", "profile", *NEEDED, EXPORT)
"""What is asked for; without the last there is no nightly export, and all else works."""
SESSION, STATE = "photos-session", "photos-state"
LOOK, STREAM, TIMEOUT, SEE_OFF = 0.4, 20.0, 30.0, 60.0
"""Seconds: between two looks at our own database; of a stream; that Google may take; between two goodbyes."""

CSP = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
SAFE = {
    "content-security-policy": CSP + "base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}

templates = Jinja2Templates(HERE / "templates")


def create_app(
    keeper: Keeper | None = None, folder: Folder | None = None, jobs: JobCalls | None = None
) -> Starlette:
    """The app; keeper, its jobs and the folder are those of the settings unless a test brings its own."""
    folder = folder or Folder.here()
    keeper = keeper or Keeper.open(settings=load_settings())
    jobs = jobs or keeper.jobs
    book = Book(folder.root / "app.db")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with keeper:
            polling = asyncio.create_task(_poll(keeper, jobs, book))
            leaving = asyncio.create_task(_see_off(keeper, book, folder))
            yield
            polling.cancel()
            leaving.cancel()

    app = Starlette(
        lifespan=lifespan,
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=_guard)],
        exception_handlers=dict.fromkeys(
            (GrantkeeperError, requests.RequestException, HTTPException, Exception), _trouble
        ),
        routes=[
            Route("/", home),
            Route("/sign-in", sign_in),
            Route("/back", back),
            Route("/sign-out", sign_out, methods=["POST"]),
            Route("/forget-me", forget_me, methods=["POST"]),
            Route("/picks", pick, methods=["POST"]),
            Route("/picks/{session}/cancel", cancel_pick, methods=["POST"]),
            Route("/jobs/{job}", results),
            Route("/jobs/{job}/retry", retry, methods=["POST"]),
            Route("/jobs/{job}/pictures/{name}", picture),
            Route("/events", events),
            Mount("/static", StaticFiles(directory=HERE / "static")),
            # The redirect flow: /auth/connect/default and its way back.
            Mount("/auth", keeper.asgi()),
        ],
    )
    app.state.keeper, app.state.jobs, app.state.book, app.state.folder = keeper, jobs, book, folder
    return app


# -- pages --------------------------------------------------------------------------------------


async def home(request: Request) -> Response:
    """Your jobs; or, to a stranger, what this is."""
    visitor = _visitor(request)
    values = {"visitor": visitor, "trouble": request.query_params.get("trouble")}
    if visitor is None:
        return templates.TemplateResponse(request, "welcome.html", values)
    return templates.TemplateResponse(request, "home.html", values | await _standing(request, visitor))


async def results(request: Request) -> Response:
    """Before and after, side by side."""
    visitor = _visitor_or_away(request)
    job = await _job(request, visitor)
    return templates.TemplateResponse(request, "results.html", {"visitor": visitor, **_shown(request, job)})


async def picture(request: Request) -> Response:
    """A preview, of the user's own."""
    visitor = _visitor_or_away(request)
    folder: Folder = request.app.state.folder
    try:
        path = (
            folder.previews(visitor.grant, request.path_params["job"])
            / Path(request.path_params["name"]).name
        )
    except ValueError:
        raise HTTPException(404) from None
    if not path.is_file():
        raise HTTPException(404)
    return FileResponse(path, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})


async def events(request: Request) -> Response:
    """The part of a page that changes, again each time it has changed (server-sent events)."""
    visitor = _visitor_or_away(request)
    job_id = request.query_params.get("job")

    async def stream() -> AsyncIterator[str]:
        last = None
        # The browser opens the next stream by itself; one without end would keep the server from stopping.
        over = time.monotonic() + STREAM
        yield "retry: 500\n\n"
        while time.monotonic() < over and not await request.is_disconnected():
            with suppress(GrantNotFound, HTTPException):
                if job_id is None:
                    html = _rendered("_jobs.html", await _standing(request, visitor))
                else:
                    html = _rendered("_pairs.html", _shown(request, await _job(request, visitor, job_id)))
                if html != last:
                    last = html
                    yield f"data: {json.dumps(html)}\n\n"
            await asyncio.sleep(LOOK)

    return StreamingResponse(stream(), media_type="text/event-stream")


# -- signing in and out -------------------------------------------------------------------------


async def sign_in(request: Request) -> Response:
    """Off to Google; the state ties the way back to this browser."""
    state = secrets.token_urlsafe(16)
    back_to = f"{request.base_url}back?{urlencode({'state': state})}"
    query = urlencode({"return_to": back_to, "scopes": " ".join(SCOPES)})
    response = RedirectResponse(f"/auth/connect/default?{query}", 303)
    _set(request, response, STATE, state, 600)
    return response


async def back(request: Request) -> Response:
    """Google has sent the browser back: who is it?"""
    query = request.query_params
    if not secrets.compare_digest(query.get("state", "-"), request.cookies.get(STATE, "")):
        return RedirectResponse("/?trouble=state", 303)
    if "result" not in query:
        return RedirectResponse("/?trouble=declined", 303)
    keeper: Keeper = request.app.state.keeper
    redeemed = await keeper.connected(query["result"])
    if not redeemed.missing_scopes.isdisjoint(NEEDED):
        return RedirectResponse("/?trouble=scopes", 303)
    name = redeemed.profile.name if redeemed.profile and redeemed.profile.name else "you"
    request.app.state.folder.open(redeemed.id)
    response = RedirectResponse("/", 303)
    response.delete_cookie(STATE)
    _set(request, response, SESSION, request.app.state.book.sign_in(redeemed.id, name), 14 * 86400)
    return response


async def sign_out(request: Request) -> Response:
    """The browser is no longer signed in; work that is under way goes on."""
    request.app.state.book.sign_out(request.cookies.get(SESSION, ""))
    return _gone()


async def forget_me(request: Request) -> Response:
    """Give the access back, end the jobs, delete all that is here of the user; the album stays."""
    visitor = _visitor_or_away(request)
    # From here on it will be done, whatever happens: see `_see_off`.
    request.app.state.folder.close(visitor.grant)
    await _forget(request.app.state.keeper, request.app.state.book, request.app.state.folder, visitor.grant)
    return _gone()


async def _forget(keeper: Keeper, book: Book, folder: Folder, grant: str) -> None:
    book.forget(grant)
    with suppress(GrantNotFound):
        await keeper.forget(grant)
    folder.forget(grant)


async def _see_off(keeper: Keeper, book: Book, folder: Folder) -> None:
    """Forget those who wanted it when Google was away, or when the app died in the middle."""
    while True:
        for grant in folder.leaving():
            try:
                await _forget(keeper, book, folder, grant)
            except GrantkeeperError as error:
                LOG.warning("the grant %s is forgotten later: %s", grant, error)
        await asyncio.sleep(SEE_OFF)


def _gone() -> Response:
    response = RedirectResponse("/", 303)
    response.delete_cookie(SESSION)
    return response


# -- picking, and handing over ------------------------------------------------------------------


async def pick(request: Request) -> Response:
    """Open a visit to Google's picker and send the user there; the picker closes its tab by itself."""
    visitor = _visitor_or_away(request)
    keeper: Keeper = request.app.state.keeper
    session = await run_in_threadpool(_picker, keeper, visitor.grant, "POST", "/sessions")
    request.app.state.book.open_pick(session["id"], visitor.grant)
    return RedirectResponse(session["pickerUri"] + "/autoclose", 303)


async def cancel_pick(request: Request) -> Response:
    """The user does not want to pick after all."""
    visitor = _visitor_or_away(request)
    book: Book = request.app.state.book
    for one in book.picks(visitor.grant):
        if one.session == request.path_params["session"]:
            book.close_pick(one.session)
            try:
                await run_in_threadpool(
                    _picker, request.app.state.keeper, visitor.grant, "DELETE", f"/sessions/{one.session}"
                )
            except (GrantkeeperError, requests.RequestException) as error:
                # It ends by itself, and nobody looks after it any more.
                LOG.warning("the visit %s is left to its end: %s", one.session, error)
    return RedirectResponse("/", 303)


async def retry(request: Request) -> Response:
    """Go on with the step that failed."""
    job = await _job(request, _visitor_or_away(request))
    await request.app.state.jobs.retry(job.id)
    return RedirectResponse("/", 303)


async def _poll(keeper: Keeper, jobs: JobCalls, book: Book) -> None:
    """Ask Google about every visit that is not over, as often as Google wants to be asked."""
    due: dict[str, float] = {}
    while True:
        picks = [one for one in book.picks() if due.get(one.session, 0) <= time.monotonic()]
        for one in picks:
            try:
                due[one.session] = time.monotonic() + await _looked_after(keeper, jobs, book, one)
            except (GrantkeeperError, requests.RequestException) as error:
                LOG.warning("the visit %s is looked after again: %s", one.session, error)
                due[one.session] = time.monotonic() + 10
        await asyncio.sleep(LOOK)


async def _looked_after(keeper: Keeper, jobs: JobCalls, book: Book, one: Pick) -> float:
    """Hand what was picked to the workers; else seconds until the next question makes sense."""
    session = await run_in_threadpool(_picker, keeper, one.grant, "GET", f"/sessions/{one.session}")
    if session is not None and not session.get("mediaItemsSet"):
        return float(session.get("pollingConfig", {}).get("pollInterval", "5s").removesuffix("s"))
    if session is not None:
        # With the key, whoever dies before the next line enqueues the same job again.
        await jobs.enqueue("enhance", one.grant, parameters={"session": one.session}, key=one.session)
    book.close_pick(one.session)
    return 0


def _picker(keeper: Keeper, grant: str, method: str, path: str) -> Any:
    """A call of the Picker API in the user's name; ``None`` if the session is not there (any more)."""
    auth: Any = keeper.auth(grant, scopes=[PICKING])
    answer = requests.request(
        method, PICKER_API + path, auth=auth, json={} if method == "POST" else None, timeout=TIMEOUT
    )
    if answer.status_code == 404 and method != "POST":
        return None
    answer.raise_for_status()
    return answer.json()


# -- what pages show ----------------------------------------------------------------------------


async def _standing(request: Request, visitor: Visitor) -> dict[str, Any]:
    jobs: JobCalls = request.app.state.jobs
    found, cursor = await jobs.list(grant=visitor.grant, job="enhance")
    while cursor is not None:
        more, cursor = await jobs.list(grant=visitor.grant, job="enhance", cursor=cursor)
        found += more
    return {"picks": request.app.state.book.picks(visitor.grant), "jobs": found[::-1]}


def _shown(request: Request, job: JobDescription) -> dict[str, Any]:
    folder: Folder = request.app.state.folder
    made = sorted(folder.previews(job.grant, job.id).glob("*-after.jpg"))
    result = job.result or {"photos": [], "album": None}
    names = {photo["number"]: photo["name"] for photo in result["photos"]}
    pairs = [
        (path.name[:4], names.get(int(path.name[:4]), f"Photo {int(path.name[:4]) + 1}")) for path in made
    ]
    return {
        "job": job,
        "album": result["album"],
        "pairs": pairs,
        "left": [photo for photo in result["photos"] if photo.get("trouble")],
    }


async def _job(request: Request, visitor: Visitor, job_id: str | None = None) -> JobDescription:
    """A job of the user's own; another's is not there."""
    jobs: JobCalls = request.app.state.jobs
    with suppress(JobNotFound):
        job = await jobs.get(job_id or request.path_params["job"])
        if job.grant == visitor.grant:
            return job
    raise HTTPException(404)


def _rendered(template: str, values: dict[str, Any]) -> str:
    return templates.get_template(template).render(values)


# -- who is it, and is it the user's own browser ------------------------------------------------


def _visitor(request: Request) -> Visitor | None:
    book: Book = request.app.state.book
    return book.visitor(request.cookies.get(SESSION, ""))


def _visitor_or_away(request: Request) -> Visitor:
    visitor = _visitor(request)
    if visitor is None:
        raise HTTPException(303, headers={"location": "/"})
    return visitor


def _set(request: Request, response: Response, name: str, value: str, seconds: int) -> None:
    secure = request.url.scheme == "https"
    response.set_cookie(name, value, max_age=seconds, httponly=True, samesite="lax", secure=secure)


async def _guard(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """No form of another site's is taken, and every page carries the headers that pages should."""
    ours = request.url.path.startswith("/auth/")
    origin = request.headers.get("origin")
    if not ours and request.method == "POST" and origin != str(request.base_url).rstrip("/"):
        return _page(request, FOREIGN)
    response = await call_next(request)
    if not ours:
        for name, value in SAFE.items():
            response.headers.setdefault(name, value)
    return response


async def _trouble(request: Request, error: Exception) -> Response:
    """A new consent is asked for; anything else is told: to the user in words, to the log as it is."""
    if isinstance(error, ConsentRequired):
        return RedirectResponse("/sign-in", 303)
    if isinstance(error, HTTPException) and error.status_code < 400:
        return Response(status_code=error.status_code, headers=error.headers)
    told = words(error, request.url.path)
    if told.status >= 500:
        hint = f" ({error.hint})" if isinstance(error, GrantkeeperError) and error.hint else ""
        LOG.warning("%s %s: %s%s", request.method, request.url.path, error, hint)
    return _page(request, told)


def _page(request: Request, told: Words) -> Response:
    values = {"told": told}
    return templates.TemplateResponse(request, "trouble.html", values, status_code=told.status, headers=SAFE)
