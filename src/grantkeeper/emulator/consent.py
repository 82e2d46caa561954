"""The pages a user meets: choose an account, agree to scopes one by one, or be told why not."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from grantkeeper.emulator.accounts import accounts_of, is_address, remember
from grantkeeper.emulator.authorization import AuthorizationRequest, Blocked, read_request
from grantkeeper.emulator.issuing import consent_needed, issue_code
from grantkeeper.emulator.pages import page
from grantkeeper.emulator.records import User
from grantkeeper.emulator.scopes import IDENTITY, describe, joined
from grantkeeper.emulator.world import World

CHOSEN = "emulator_account"
"""A query parameter of ours that remembers, from page to page, who was chosen for this request."""

DURATIONS = {"3600": "for one hour", "86400": "for one day", "2592000": "for 30 days"}


@dataclass(frozen=True, slots=True)
class Visit:
    """One request to the authorization endpoint: what the app asked and who is signed in."""

    request: Request
    asked: AuthorizationRequest
    chosen: str | None

    @property
    def accounts(self) -> list[str]:
        """The addresses signed in to this browser."""
        return accounts_of(self.request)

    def here(self, chosen: str | None = None) -> str:
        """This request again, with *chosen* as the account."""
        pairs = parse_qsl(self.request.url.query, keep_blank_values=True)
        pairs = [pair for pair in pairs if pair[0] != CHOSEN]
        return f"{self.request.url.path}?{urlencode([*pairs, (CHOSEN, chosen)] if chosen else pairs)}"


def routes(world: World) -> list[BaseRoute]:
    """The authorization endpoint under its present and its older path."""

    async def authorize(request: Request) -> Response:
        try:
            visit = _visit(world, request)
            if request.method == "POST":
                return _posted(world, visit, await request.form())
            return _shown(world, visit)
        except Blocked as blocked:
            world.count("auth", "page", blocked.code)
            return page("blocked.html", blocked.status, error=blocked)

    paths = ("/o/oauth2/v2/auth", "/o/oauth2/auth")
    return [Route(path, authorize, methods=["GET", "POST"]) for path in paths]


def _visit(world: World, request: Request) -> Visit:
    pairs = parse_qsl(request.url.query, keep_blank_values=True)
    chosen = next((value for name, value in pairs if name == CHOSEN), None)
    return Visit(request, read_request(world, [pair for pair in pairs if pair[0] != CHOSEN]), chosen)


def _shown(world: World, visit: Visit) -> Response:
    asked = visit.asked
    address = _account(world, visit)
    if address is None:
        if "none" in asked.prompt:
            several = len(visit.accounts) > 1
            error = "account_selection_required" if several else "login_required"
            return _refused(world, asked, error, "It is not clear whose account is meant.")
        return _sign_in(world, visit)
    user = _admitted(world, asked, address)
    needed = consent_needed(world, asked.client, user, asked.scopes)
    if needed and "none" in asked.prompt:
        return _refused(world, asked, "consent_required", "The user has not consented yet.")
    if needed or "consent" in asked.prompt:
        return _consent(world, visit, user)
    return _allowed(world, asked, user, asked.scopes, consented=False)


def _account(world: World, visit: Visit) -> str | None:
    """Whose turn it is, when that is clear without asking."""
    accounts = visit.accounts
    if visit.chosen in accounts:
        return visit.chosen
    hint = visit.asked.login_hint
    hinted = next((each for each in accounts if hint in (each, world.user(each).sub)), None)
    if hinted is not None and "select_account" not in visit.asked.prompt:
        return hinted
    alone = len(accounts) == 1 and hint is None and "select_account" not in visit.asked.prompt
    return accounts[0] if alone else None


def _admitted(world: World, asked: AuthorizationRequest, address: str) -> User:
    user = world.user(address)
    domain = asked.client.internal_domain
    if user.disabled:
        raise Blocked("disabled_account", "This account has been disabled.", 403)
    if user.admin_blocked:
        raise Blocked(
            "admin_policy_enforced", "The administrator of this account restricts access to the service."
        )
    if domain is not None and user.hd != domain:
        raise Blocked("org_internal", f"This app is only for accounts of {domain}.", 403)
    return user


def _sign_in(world: World, visit: Visit) -> Response:
    accounts = [world.user(address) for address in visit.accounts]
    hint = visit.asked.login_hint or ""
    return page(
        "sign_in.html",
        action=visit.here(),
        client=visit.asked.client,
        accounts=accounts,
        hint=hint if "@" in hint else "",
    )


def _consent(world: World, visit: Visit, user: User) -> Response:
    asked = visit.asked
    grant = world.grant(asked.client.project, user.sub)
    given = grant.scopes if grant is not None else frozenset()
    new = [(scope, describe(scope)) for scope in sorted(_services(asked.scopes) - given)]
    return page(
        "consent.html",
        action=visit.here(user.email),
        client=asked.client,
        user=user,
        identity=[describe(scope) for scope in sorted(asked.scopes & IDENTITY)],
        new=new,
        given=[describe(scope) for scope in sorted(_services(asked.scopes) & given)],
        choice=_granular(asked.scopes),
        durations=DURATIONS,
    )


def _services(scopes: frozenset[str]) -> frozenset[str]:
    return scopes - IDENTITY


def _granular(scopes: frozenset[str]) -> bool:
    """Boxes appear where there is more than one thing to agree to, the identity aside."""
    return len(_services(scopes)) > 1


def _posted(world: World, visit: Visit, form: FormData) -> Response:
    if form.get("step") == "account":
        return _signed_in(visit, str(form.get("email", "")).strip())
    asked = visit.asked
    if form.get("decision") != "allow":
        return _refused(world, asked, "access_denied", "The user said no.")
    if visit.chosen not in visit.accounts:
        return RedirectResponse(visit.here(), 303)
    user = _admitted(world, asked, str(visit.chosen))
    scopes = asked.scopes
    if _granular(scopes) and not form.get("all"):
        grant = world.grant(asked.client.project, user.sub)
        given = grant.scopes if grant is not None else frozenset()
        ticked = {str(scope) for scope in form.getlist("scope")}
        scopes = asked.scopes & (IDENTITY | given | ticked)
    if not scopes:
        return _refused(world, asked, "access_denied", "The user ticked nothing.")
    duration = str(form.get("duration", ""))
    seconds = int(duration) if duration in DURATIONS else None
    return _allowed(world, asked, user, scopes, consented=True, access_seconds=seconds)


def _signed_in(visit: Visit, address: str) -> Response:
    if not is_address(address):
        return page(
            "sign_in.html",
            400,
            action=visit.here(),
            client=visit.asked.client,
            accounts=[],
            hint=address,
            problem="Enter an e-mail address, such as ada@example.com.",
        )
    response = RedirectResponse(visit.here(address), 303)
    remember(response, [*visit.accounts, address])
    return response


def _allowed(
    world: World,
    asked: AuthorizationRequest,
    user: User,
    scopes: frozenset[str],
    *,
    consented: bool,
    access_seconds: int | None = None,
) -> Response:
    code = issue_code(
        world,
        asked.client,
        user,
        scopes,
        asked.source,
        asked.redirect_uri,
        offline=asked.offline,
        include_granted=asked.include_granted,
        consented=consented,
        nonce=asked.nonce,
        code_challenge=asked.code_challenge,
        code_challenge_method=asked.code_challenge_method,
        access_seconds=access_seconds,
    )
    world.count("auth", asked.source, "ok")
    answer = {"code": code.value, "scope": joined(code.scopes), "authuser": "0"}
    if user.hd is not None:
        answer["hd"] = user.hd
    return _answered(world, asked, answer | {"prompt": "consent" if consented else "none"})


def _refused(world: World, asked: AuthorizationRequest, error: str, description: str) -> Response:
    world.count("auth", asked.source, error)
    return _answered(world, asked, {"error": error, "error_description": description})


def _answered(world: World, asked: AuthorizationRequest, answer: dict[str, str]) -> Response:
    if asked.state is not None:
        answer = {"state": asked.state, **answer}
    if asked.popup_id is not None:
        return page("popup.html", origin=asked.redirect_uri, popup=asked.popup_id, answer=answer)
    # RFC 9207: who answers, so that no other issuer's answer is taken for this one.
    answer = {"iss": world.issuer, **answer}
    if asked.response_mode == "form_post":
        return page("form_post.html", action=asked.redirect_uri, answer=answer)
    return RedirectResponse(asked.location(answer), 302)
