"""The photo app without a browser: who gets in, what is handed over, and what another user cannot see."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import app as photo_app
import httpx
import pytest
import requests
from previews import put

from grantkeeper import Keeper
from grantkeeper.errors import GrantNotFound
from grantkeeper.model import JobState
from grantkeeper.settings import load_settings
from grantkeeper.testing.google import GoogleEmulator
from tests.examples.conftest import ADA
from tests.examples.site import Site, serving
from tests.waiting import wait_for


@pytest.fixture
def site(google: GoogleEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The app, up."""
    with serving(google, tmp_path, monkeypatch) as site:
        yield site


@contextmanager
def signed_in(site: Site, email: str = ADA, **consent: str) -> Iterator[httpx.Client]:
    """A browser, so to speak, that went through Google's forms."""
    with httpx.Client(
        base_url=site.url, headers={"Origin": site.url}, follow_redirects=True, timeout=30
    ) as browser:
        sign_in(site, browser, email, **consent)
        yield browser


def sign_in(site: Site, browser: httpx.Client, email: str = ADA, **consent: str) -> httpx.Response:
    """Through Google's forms; where the app leads in the end."""
    page = browser.get("/sign-in")
    for form in [
        {"step": "account", "email": email},
        {"step": "consent", "decision": "allow", **consent},
    ]:
        action = re.search(r'action="([^"]+)"', page.text)
        assert action, page.text
        page = browser.post(urljoin(str(page.url), action[1].replace("&amp;", "&")), data=form)
    assert site.url == f"{page.url.scheme}://{page.url.host}:{page.url.port}"
    return page


def test_a_stranger_is_told_what_this_is_and_gets_no_further(site: Site):
    """
    Every other page leads to the first one.
    """
    with httpx.Client(base_url=site.url, headers={"Origin": site.url}) as browser:
        assert "Sign in with Google" in browser.get("/").text
        for method, path in [
            ("GET", "/jobs/x"),
            ("GET", "/events"),
            ("POST", "/picks"),
            ("POST", "/forget-me"),
        ]:
            answer = browser.request(method, path)
            assert (303, "/") == (answer.status_code, answer.headers["location"])


def test_pages_carry_the_headers_that_pages_should(site: Site):
    """
    Nothing from elsewhere, no frames, no scripts in the page.
    """
    headers = httpx.get(site.url).headers

    assert "script-src 'self'" in headers["content-security-policy"]
    assert "no-store" == headers["cache-control"]


def test_what_is_picked_becomes_one_job(site: Site):
    """
    Picked in Google's window while the app's page may be closed; handed over once.
    """
    with signed_in(site, all="yes") as browser:
        assert "Ada Example" in browser.get("/").text
        sent = browser.post("/picks", follow_redirects=False)
        assert sent.headers["location"].endswith("/autoclose")
        assert "Waiting for your choice" in browser.get("/").text

        site.google.post("pick", {"email": ADA, "count": 3})
        wait_for(lambda: site.desk.kept)

        (job,) = site.desk.kept
        assert ("enhance", JobState.QUEUED) == (job.job, job.state)
        wait_for(lambda: "Waiting for your choice" not in browser.get("/").text)
        assert "Waits for its turn" in browser.get("/").text
        assert 1 == len(site.desk.kept)


@pytest.mark.parametrize(("of", "said"), [(1, "One photo is done"), (2, "2 photos are done")])
def test_who_listens_hears_how_many_are_done(site: Site, of: int, said: str):
    """
    One is not several.
    """
    with signed_in(site, all="yes") as browser:
        browser.post("/picks", follow_redirects=False)
        site.google.post("pick", {"email": ADA, "count": of})
        wait_for(lambda: site.desk.kept)
        site.desk.change(site.desk.kept[0].id, state=JobState.DONE, done=of, of=of)

        assert f'data-say="{said}"' in browser.get("/").text


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        (JobState.FAILED, "error", "Stopped: something went wrong on our side."),
        (JobState.PARKED, "invalid_grant", "Google wants your consent again."),
        (JobState.PARKED, "grant_blocked", "who administers your Google account has not allowed"),
    ],
)
def test_a_job_that_does_not_go_on_is_told_in_words(site: Site, state: JobState, reason: str, said: str):
    """
    Its note is for the people who run the app, who find it in the log and by the command line.
    """
    with signed_in(site, all="yes") as browser:
        browser.post("/picks", follow_redirects=False)
        site.google.post("pick", {"email": ADA, "count": 1})
        wait_for(lambda: site.desk.kept)
        note = "the job raised KeyError"
        site.desk.change(site.desk.kept[0].id, state=state, reason=reason, note=note)
        page = browser.get("/").text

    assert said in page
    assert note not in page


def test_never_mind_closes_the_visit(site: Site):
    """
    Google's as well as ours.
    """
    with signed_in(site, all="yes") as browser:
        browser.post("/picks", follow_redirects=False)
        cancel = re.search(r'action="(/picks/[^"]+/cancel)"', browser.get("/").text)
        assert cancel

        assert "Nothing yet" in browser.post(cancel[1]).text
        with pytest.raises(ValueError, match="session_unknown"):
            site.google.post("pick", {"email": ADA, "count": 1})


@pytest.mark.parametrize(
    ("status", "said"),
    [(0, "Google does not answer"), (429, "Google does not answer"), (403, "wrong on our side")],
)
def test_a_picker_that_cannot_be_opened_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: int, said: str
):
    """
    In the user's words on a page with a way back; the log has Google's.
    """

    def refused(*arguments: object, **named: object) -> requests.Response:
        if not status:
            raise requests.ConnectionError("no route to Google")
        answer = requests.Response()
        answer.status_code, answer.reason, answer.url = status, "no route to Google", "http://picker"
        return answer

    with signed_in(site, all="yes") as browser:
        monkeypatch.setattr(requests, "request", refused)
        page = browser.post("/picks")

    assert said in page.text
    assert 'href="/"' in page.text
    assert "no route" not in page.text
    assert "no route to Google" in caplog.text


def test_never_mind_is_done_while_google_is_away(site: Site, monkeypatch: pytest.MonkeyPatch):
    """
    The visit ends at Google by itself.
    """

    def away(*arguments: object, **named: object) -> requests.Response:
        raise requests.ConnectionError

    with signed_in(site, all="yes") as browser:
        browser.post("/picks", follow_redirects=False)
        cancel = re.search(r'action="(/picks/[^"]+/cancel)"', browser.get("/").text)
        assert cancel
        monkeypatch.setattr(requests, "request", away)

        assert "Nothing yet" in browser.post(cancel[1]).text


def test_a_form_on_another_site_is_refused(site: Site):
    """
    Whoever is signed in and visits that site picks nothing.
    """
    with signed_in(site, all="yes") as browser:
        for origin in ("https://evil.example", "null"):
            answer = browser.post("/picks", headers={"Origin": origin})
            assert 403 == answer.status_code
            assert "sent from another site" in answer.text
            assert "</html>" in answer.text


def test_a_way_back_that_began_elsewhere_signs_nobody_in(site: Site):
    """
    A link with somebody else's result would sign its reader in as that somebody.
    """
    with signed_in(site, all="yes") as attacker:
        start = attacker.get("/sign-in", follow_redirects=False)
        back = parse_qs(urlsplit(start.headers["location"]).query)["return_to"][0]

    with httpx.Client(follow_redirects=True) as victim:
        page = victim.get(back + "&result=stolen")

    assert "begun in another window" in page.text


def test_a_permission_that_was_left_out_is_asked_for_again(site: Site):
    """
    Without all of them the job could not end well.
    """
    with signed_in(site, all="") as browser:
        assert "permissions" in browser.get("/?trouble=scopes").text
        assert "Sign in with Google" in browser.get("/").text


@pytest.mark.parametrize(
    ("consent", "said"),
    [
        ({"decision": "deny"}, "The sign-in was not finished"),
        ({"all": ""}, "tick all three"),
    ],
)
def test_who_is_signed_in_is_told_why_another_sign_in_came_to_nothing(
    site: Site, consent: dict[str, str], said: str
):
    """
    Over the jobs, of which one may wait for it.
    """
    with signed_in(site, all="yes") as browser:
        site.google.revoke(ADA)
        page = sign_in(site, browser, **consent)

    assert said in page.text
    assert "Your jobs" in page.text


def test_another_user_sees_neither_job_nor_picture(site: Site):
    """
    Ids are no keys.
    """
    with signed_in(site, all="yes") as ada, signed_in(site, "bob@example.com", all="yes") as bob:
        ada.post("/picks", follow_redirects=False)
        site.google.post("pick", {"email": ADA, "count": 1})
        wait_for(lambda: site.desk.kept)
        (job,) = site.desk.kept
        put(site.folder.previews(job.grant, job.id), {"0000-after.jpg": b"a picture"})
        paths = [f"/jobs/{job.id}", f"/jobs/{job.id}/pictures/0000-after.jpg"]

        assert [200, 200] == [ada.get(path).status_code for path in paths]
        assert [404, 404] == [bob.get(path).status_code for path in paths]
        assert 404 == bob.post(f"/jobs/{job.id}/retry").status_code
        assert 404 == ada.get(f"/jobs/{job.id}/pictures/..%2F..%2F..%2Fapp.db").status_code


def test_whoever_leaves_is_forgotten(site: Site):
    """
    The access is given back, and nothing of the user is left in the app's folder.
    """
    with signed_in(site, all="yes") as browser:
        browser.post("/picks", follow_redirects=False)
        site.google.post("pick", {"email": ADA, "count": 1})
        wait_for(lambda: site.desk.kept)
        grant = site.desk.kept[0].grant
        put(site.folder.previews(grant, "job-0"), {"0000-after.jpg": b"a picture"})

        assert "Sign in with Google" in browser.post("/forget-me").text

    assert not (site.folder.root / grant).exists()
    assert [] == site.folder.leaving()
    assert grant.encode() not in (site.folder.root / "app.db").read_bytes()


def test_who_was_leaving_when_the_app_died_is_forgotten_by_the_next(
    google: GoogleEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """
    The folder that was moved away says who; then grant, session and files go.
    """
    monkeypatch.setattr(photo_app, "SEE_OFF", 0.05)
    with serving(google, tmp_path, monkeypatch) as site, signed_in(site, all="yes") as browser:
        (grant,) = [path.name for path in site.folder.root.iterdir() if path.is_dir()]
        put(site.folder.previews(grant, "job-0"), {"0000-after.jpg": b"a picture"})
        site.folder.close(grant)
        wait_for(lambda: not site.folder.leaving())

        assert "Sign in with Google" in browser.get("/").text

    assert [] == list(site.folder.root.rglob("*.jpg"))
    with (
        Keeper.open_sync(settings=load_settings({}, tmp_path)) as keeper,
        pytest.raises(GrantNotFound),
    ):
        keeper.describe(grant)


def test_a_broken_consent_leads_to_google(site: Site):
    """
    The next click asks for it, in the place of an error.
    """
    with signed_in(site, all="yes") as browser:
        site.google.revoke(ADA)

        site.google.advance(3700)
        answer = browser.post("/picks", follow_redirects=False)

        assert (303, "/sign-in") == (answer.status_code, answer.headers["location"])


def test_whoever_leaves_while_google_is_away_is_told_in_words(site: Site, caplog: pytest.LogCaptureFixture):
    """
    What is done, what is not, and what can be done; our own words for it are in the log.
    """
    with signed_in(site, all="yes") as browser:
        site.google.fault("revoke", "status_503")
        page = browser.post("/forget-me")

    assert 503 == page.status_code
    assert "myaccount.google.com/connections" in page.text
    assert "issuer" not in page.text
    assert "issuer" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/zzz", 404),
        ("GET", "/jobs/nope", 404),
        ("GET", "/picks", 405),
        ("GET", "/back?state=s&result=spent", 400),
    ],
)
def test_a_page_that_is_not_there_leads_back(site: Site, method: str, path: str, status: int):
    """
    As a page with a way out, and the headers of every page.
    """
    with signed_in(site, all="yes") as browser:
        browser.cookies.set("photos-state", "s", domain="127.0.0.1")
        page = browser.request(method, path)

    assert status == page.status_code
    assert "</html>" in page.text
    assert 'class="button" href="/' in page.text
    assert "no-store" == page.headers["cache-control"]


def test_what_nobody_expected_is_a_page_as_well(site: Site, monkeypatch: pytest.MonkeyPatch):
    """
    The traceback is the server's, for its log.
    """

    async def broken(*arguments: object, **named: object) -> None:
        raise ZeroDivisionError("a secret of ours")

    with signed_in(site, all="yes") as browser:
        monkeypatch.setattr(site.desk, "list", broken)
        page = browser.get("/")

    assert 500 == page.status_code
    assert "wrong on our side" in page.text
    assert "a secret of ours" not in page.text
    assert "no-store" == page.headers["cache-control"]
