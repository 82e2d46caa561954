"""The pages of Google Photos: the Picker, at a session's `pickerUri`, and an album to look at."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from grantkeeper.emulator.accounts import accounts_of, is_address, remember
from grantkeeper.emulator.pages import page
from grantkeeper.emulator.photos_state import Photos
from grantkeeper.emulator.picker_sessions import PickingSession, PickInvalid
from grantkeeper.emulator.records import OAuthClient, User


def routes(photos: Photos) -> list[BaseRoute]:
    """The Picker with its pictures, and albums. `/autoclose` closes the window when the user is done."""

    async def picker(request: Request) -> Response:
        return await _picker(photos, request, close=request.url.path.endswith("/autoclose"))

    async def picture(request: Request) -> Response:
        session = photos.sessions.get(request.path_params["session"], photos.world.now())
        user = None if session is None else _signed_in(photos, request, session)
        photo = None if user is None else photos.own.get(user.sub, request.path_params["id"])
        if photo is None:
            return Response(status_code=404)
        headers = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
        return Response(photo.content, headers=headers, media_type=photo.look.mime_type)

    async def album(request: Request) -> Response:
        return _album(photos, request.path_params["id"])

    return [
        Route("/picker/{session}", picker, methods=["GET", "POST"]),
        Route("/picker/{session}/autoclose", picker, methods=["GET", "POST"]),
        Route("/picker/{session}/photos/{id}", picture),
        Route("/emulator/albums/{id}", album),
    ]


async def _picker(photos: Photos, request: Request, *, close: bool) -> Response:
    session = photos.sessions.get(request.path_params["session"], photos.world.now())
    if session is None:
        text = "It has ended, or it never was. Go back to the app and begin again."
        return page("picked.html", 404, heading="This picking session is over", text=text, close=False)
    form = await request.form() if request.method == "POST" else None
    if form is not None and form.get("step") == "account":
        return _account(photos, request, session, str(form.get("email", "")).strip())
    user = _signed_in(photos, request, session)
    if user is None:
        return _sign_in(photos, request, session)
    if form is None:
        return _page(photos, session, user) if session.picked is None else _done(session, close=False)
    chosen = [str(each) for each in form.getlist("photo")]
    found = [photo for photo in photos.own.of(user.sub) if photo.id in set(chosen)]
    try:
        session.pick(found)
    except PickInvalid as wrong:
        return _page(photos, session, user, 400, frozenset(chosen), str(wrong))
    photos.tally("picker", "sessions_picked")
    return _done(session, close=close)


def _signed_in(photos: Photos, request: Request, session: PickingSession) -> User | None:
    """The session's user, if it is one of the accounts of this browser."""
    users = (photos.world.user(address) for address in accounts_of(request))
    return next((user for user in users if user.sub == session.sub and not user.disabled), None)


def _account(photos: Photos, request: Request, session: PickingSession, address: str) -> Response:
    if not is_address(address):
        return _sign_in(
            photos, request, session, "Enter an e-mail address, such as ada@example.com.", address
        )
    response = RedirectResponse(request.url.path, 303)
    remember(response, [*accounts_of(request), address])
    return response


def _sign_in(
    photos: Photos, request: Request, session: PickingSession, problem: str | None = None, hint: str = ""
) -> Response:
    """Who is it? An account of this browser that the session is not for is of no use here."""
    if problem is None and accounts_of(request):
        problem = "This is for another account: sign in with the one that you use in the app."
    values = {} if problem is None else {"problem": problem}
    return page(
        "sign_in.html",
        200 if problem is None else 400,
        action=request.url.path,
        client=_client(photos, session),
        accounts=[],
        hint=hint,
        **values,
    )


def _client(photos: Photos, session: PickingSession) -> OAuthClient:
    """The app, by one of its registrations."""
    return next(client for client in photos.world.clients.values() if client.project == session.project)


def _page(
    photos: Photos,
    session: PickingSession,
    user: User,
    status: int = 200,
    chosen: frozenset[str] = frozenset(),
    problem: str = "",
) -> Response:
    return page(
        "picker.html",
        status,
        session=session,
        client=_client(photos, session).name,
        user=user,
        photos=photos.own.of(user.sub),
        most=session.most,
        chosen=chosen,
        problem=problem,
    )


def _done(session: PickingSession, *, close: bool) -> Response:
    number = len(session.picked or ())
    what = "One photo is" if number == 1 else f"{number} photos are"
    return page("picked.html", heading="Done", text=f"{what} picked. Go back to the app.", close=close)


def _album(photos: Photos, album_id: str) -> Response:
    for user in list(photos.world.users.values()):
        for library in photos.libraries.of_user(user.sub):
            album = library.albums.get(album_id)
            if album is not None:
                items = [library.items[each] for each in album.items]
                return page("album.html", album=album, user=user, items=items)
    return page("picked.html", 404, heading="No such album", text="No app made it.", close=False)
