"""The emulator's own pages: what it is, what it answers, and how tests steer it."""

from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from grantkeeper.emulator import pages
from grantkeeper.emulator.faults import ENDPOINTS
from grantkeeper.emulator.menu import MENU
from grantkeeper.emulator.pages import page
from grantkeeper.emulator.world import World


class Line(NamedTuple):
    """One line of the home page's tables."""

    method: str
    path: str
    does: str
    takes: str = ""


GOOGLE = [
    Line("GET", "/.well-known/openid-configuration", "The OpenID discovery document."),
    Line("GET, POST", "/o/oauth2/v2/auth", "Sign in and agree, scope by scope; also `/o/oauth2/auth`."),
    Line("GET", "/gsi/client", "The script with `google.accounts.oauth2.initCodeClient`."),
    Line("POST", "/token", "Codes and refresh tokens become access tokens."),
    Line("POST", "/revoke", "Ends the grant of the whole project; also `GET /o/oauth2/revoke?token=`."),
    Line("GET", "/oauth2/v3/certs", "The signing keys as a JWK set; `/oauth2/v1/certs` as certificates."),
    Line(
        "GET",
        "/v1/userinfo",
        "OpenID Connect; also `/oauth2/v3/userinfo`, and v2's names at `/oauth2/v2/userinfo`.",
    ),
    Line("GET, POST", "/tokeninfo", "What an access token or an ID token says."),
    Line("any", "/drive/v3/, /upload/drive/v3/", "Drive, `appDataFolder` included."),
    Line(
        "any",
        "/photoslibrary/v1/",
        "The Photos Library API; `/photoslibrary` stands for the host that Google gives it.",
    ),
    Line("any", "/photospicker/v1/", "The Photos Picker API, in the same way."),
    Line("GET", "/picker/{session}", "Where the user picks; `/autoclose` may be appended."),
    Line("GET", "/discovery/v1/apis/{api}/{version}/rest", "API discovery for Google's client libraries."),
]

CONTROL = [
    Line(
        "POST",
        "/emulator/code",
        "An authorization code for an account that says yes to everything: {code, sub}. The iOS "
        "SDK adds the basic profile. `force` shows the consent again, which earns a new refresh "
        "token.",
        takes='{"email", "scopes"?, "source"? (ios), "nonce"?, "redirect_uri"?, "code_challenge"?, '
        '"code_challenge_method"? (S256), "force"?, "client_id"?, "access_type"? (offline), '
        '"include_granted_scopes"?, "access_seconds"?}',
    ),
    Line("GET", "/emulator/clock", "{now, offset}."),
    Line("POST", "/emulator/clock", "Moves the clock.", takes='{"advance": seconds}'),
    Line(
        "POST",
        "/emulator/fault",
        "Plans a fault, for `count` requests or until it is deleted, letting `after` requests "
        "pass first. Of several, the oldest strikes. A fault of an answer waits for one that it "
        "can spoil. `email` lets it strike one user's requests only, `kind` one kind: at photos and picker a "
        "method such as `mediaItems.batchCreate`, `uploads.raw`, `uploads.finalize` or `media`, elsewhere "
        "the verb in small letters.",
        takes='{"endpoint", "name", "count"?, "after"?, "grant_type"?, "kind"?, "email"?, "processed"?, '
        "options}",
    ),
    Line("GET", "/emulator/fault", "The active faults."),
    Line(
        "DELETE",
        "/emulator/fault",
        "Deletes faults; without a word, all.",
        takes='{"endpoint"?, "name"?}, or as query',
    ),
    Line("GET", "/emulator/faults", "The menu: [{name, endpoints, processed, does}]."),
    Line(
        "GET",
        "/emulator/stats",
        "How often each endpoint was asked, by kind and outcome; under `totals` what was uploaded, made and "
        "downloaded, by API. DELETE starts anew.",
    ),
    Line("DELETE", "/emulator/stats", "All counters to zero."),
    Line("POST", "/emulator/revoke", "The user takes access back.", takes='{"email", "project"?}'),
    Line(
        "POST", "/emulator/keys/rotate", "Signs with a new key from now on; the one before stays published."
    ),
    Line(
        "POST",
        "/emulator/event",
        "What a security event tells: account-disabled, account-enabled and tokens-revoked change"
        " the account here. Events are not sent to a receiver yet: naming a `receiver` answers "
        "501.",
        takes='{"type", "email"}',
    ),
    Line(
        "POST",
        "/emulator/id_token",
        "The phone's own ID token, honest or spoilt as the fault of that name does.",
        takes='{"email", "nonce"?, "aud"?, "azp"?, "scopes"?, "fault"?}',
    ),
    Line(
        "GET",
        "/emulator/client_secret.json",
        "The client file of the web client, or another's.",
        takes="?client_id=",
    ),
    Line("GET", "/emulator/users", "The accounts seen so far."),
    Line(
        "POST, PATCH",
        "/emulator/users",
        "Changes an account: `reauth_required` answers invalid_rapt until the next sign-in, "
        "`admin_blocked` admin_policy_enforced, `access_seconds` makes the next consent time-"
        "based.",
        takes='{"email", "new_email"?, "name"?, "given_name"?, "family_name"?, "picture"?, "hd"?, '
        '"email_verified"?, "disabled"?, "deleted"?, "reauth_required"?, "admin_blocked"?, '
        '"access_seconds"?}',
    ),
    Line("GET", "/emulator/clients", "The registered clients, without their secrets."),
    Line(
        "POST, PATCH",
        "/emulator/clients",
        "Registers a client, or changes one (by default the one of the client file). `testing` "
        "lets grants end after seven days, `rotation` makes a refresh spend its token.",
        takes='{"client_id"?, "kind"?, "project"?, "name"?, "secrets"?, "add_secret"?, '
        '"redirect_uris"?, "javascript_origins"?, "loopback_paths"?, "testing"?, "rotation"?, '
        '"live_cap"?, "reuse_revokes"?, "state"?, "internal_domain"?, "access_token_seconds"?, '
        '"code_seconds"?}',
    ),
    Line(
        "GET",
        "/emulator/photos",
        "A person's own photos, and each item that apps made there: {photos, created, albums}.",
        takes="?email=",
    ),
    Line(
        "POST",
        "/emulator/photos",
        "Puts photos into a person's own library, from which the Picker picks: one as base64 `content`, or "
        "`samples` drawn ones. The bytes may also be the body, the rest the query. `processing_seconds` is "
        "for videos.",
        takes='{"email", "content" or "samples", "filename"?, "processing_seconds"?}',
    ),
    Line("GET", "/emulator/photos/{id}", "The bytes of an item that an app made."),
    Line("GET", "/emulator/photos/limits", "The limits and quotas of Google Photos."),
    Line(
        "POST, PATCH",
        "/emulator/photos/limits",
        "Changes some of them until the next reset; null is none.",
        takes='{"requests_per_day"?, "media_requests_per_day"?, "photo_bytes"?, "video_bytes"?, '
        '"storage_bytes"?, "album_items"?, "batch_create_seconds"?, "picked_items"?, '
        '"open_sessions"?, "poll_seconds"?, "poll_timeout_seconds"?, "session_seconds"?}',
    ),
    Line(
        "POST",
        "/emulator/pick",
        "The user picks without a browser, by ids or file names, the first `count`, or all; in the latest "
        "session that waits, unless one is named.",
        takes='{"email", "session"?, "count"?, "ids"?}',
    ),
    Line(
        "GET",
        "/emulator/refresh_tokens",
        "The refresh tokens that work now: {live, tokens}, by hash only.",
        takes="?email=&client_id=",
    ),
    Line(
        "POST", "/emulator/reset", "Forgets users, grants, tokens, faults, counters and registered clients."
    ),
]


def routes(world: World) -> list[BaseRoute]:
    """The home page, the page codes are sent to, and the files of both."""

    async def home(request: Request) -> Response:
        return page(
            "home.html",
            google=GOOGLE,
            control=CONTROL,
            faults=list(MENU.values()),
            endpoints=ENDPOINTS,
            world=world,
            now=world.now().strftime("%Y-%m-%d %H:%M:%S UTC"),
        )

    async def callback(request: Request) -> Response:
        return page("callback.html", answer=dict(request.query_params))

    return [Route("/", home), Route("/emulator/callback", callback), *pages.routes()]
