"""The end of the story: photos are improved while their owner is away, and a worker is killed at it."""

import base64
import re
import runpy
import subprocess
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

import requests

from grantkeeper.demo.report import Pair, write_report
from grantkeeper.demo.stage import Stage, photos_example
from grantkeeper.demo.telling import NotAsTold, Teller
from grantkeeper.library.local import Keeper
from grantkeeper.model import JobDescription, JobState
from grantkeeper.settings import load_settings

TIMEOUT = 30
LIMIT = 90.0
"""Seconds that the worker may take for the photos."""


def play_photos(stage: Stage, teller: Teller, email: str, report: str) -> None:
    """
    Play the chapter, and write its pictures side by side to the file *report*.

    Raises:
        NotAsTold: A step went another way.
    """
    teller.chapter("The guide's own example: a photo app. Ada picks photos and goes away")
    dull = _put_photos(stage, email)
    teller.tell(
        f"In her library are {len(dull)} dull photographs. She signs in to the app and picks them all."
    )
    stage.serve_photos()
    worker = stage.start_worker()
    browser = _sign_in(stage, email)
    browser.post(
        stage.photos + "/picks", headers={"Origin": stage.photos}, allow_redirects=False, timeout=TIMEOUT
    )
    stage.google.post("pick", {"email": email})
    browser.close()
    teller.tell("She closes the window. The app sees what she picked, and asks for a job.")

    teller.chapter("A worker improves them. In the middle it is killed")
    with Keeper.open_sync(settings=load_settings({}, stage.folder)) as keeper:
        _kill_in_the_middle(stage, teller, keeper.jobs, worker, email, len(dull))
    made = _library(stage, email)
    totals = stage.google.stats()["totals"]["photos"]
    teller.expect("The album “Enhanced” has each photo she picked", sorted(made), sorted(dull))
    teller.expect("By Google's own count: so many were created", totals["items_created"], len(dull))
    pairs = [Pair(name, dull[name], _content(stage, made[name])) for name in sorted(dull)]
    changed = [pair.name for pair in pairs if pair.before != pair.after]
    teller.expect("and each is another picture than before", len(changed), len(dull))
    teller.show("side by side", write_report(report, pairs))


def _kill_in_the_middle(
    stage: Stage, teller: Teller, jobs: Any, worker: "subprocess.Popen[bytes]", email: str, photos: int
) -> None:
    job = _wait_for(jobs, lambda job: job.done >= 1)
    worker.kill()
    worker.wait()
    teller.expect("kill -9, after the first photo and before the last", job.done < photos, True)
    teller.show("in the album", f"{len(_library(stage, email))} of {photos}")
    stage.start_worker()
    _wait_for(jobs, lambda job: job.state is JobState.DONE)
    teller.expect("Another worker goes on where it stopped, and comes to the end", job.of, photos)


def _put_photos(stage: Stage, email: str) -> dict[str, bytes]:
    """Dull photographs in the user's own library; they by name."""
    example = photos_example()
    make_dull = runpy.run_path(str(example / "dull.py"))["dull"]
    made = {path.name: make_dull(path.read_bytes()) for path in sorted((example / "pictures").glob("*.jpg"))}
    for name, content in made.items():
        body = {"email": email, "filename": name, "content": base64.b64encode(content).decode()}
        stage.google.post("photos", body)
    return made


def _sign_in(stage: Stage, email: str) -> requests.Session:
    """What a person does at Google's pages, by the forms in them."""
    browser = requests.Session()
    page = browser.get(stage.photos + "/sign-in", timeout=TIMEOUT)
    for form in ({"step": "account", "email": email}, {"step": "consent", "decision": "allow", "all": "yes"}):
        action = re.search(r'action="([^"]+)"', page.text)
        if action is None:
            raise NotAsTold("Google's page has no form")
        url = urljoin(page.url, action[1].replace("&amp;", "&"))
        page = browser.post(url, data=form, timeout=TIMEOUT)
    if not page.url.startswith(stage.photos):
        raise NotAsTold(f"the sign-in ended at {page.url}")
    return browser


def _wait_for(jobs: Any, true: Callable[[JobDescription], bool]) -> JobDescription:
    """The photo app's one job, once it is so."""
    give_up = time.monotonic() + LIMIT
    job: JobDescription | None = None
    while job is None or not true(job):
        if time.monotonic() > give_up or (
            job is not None and job.state in (JobState.FAILED, JobState.PARKED)
        ):
            raise NotAsTold(f"the job stands so: {job} {'' if job is None else job.note}")
        time.sleep(0.02)
        job = next(iter(jobs.list(job="enhance").jobs), None)
    return job


def _library(stage: Stage, email: str) -> dict[str, str]:
    """What is in the album: ids by file name."""
    made = stage.google.get(f"photos?email={email}")["created"]
    names = [item["filename"] for item in made if item["albums"] == ["Enhanced"]]
    if len(set(names)) != len(names):
        raise NotAsTold(f"a photo is there twice: {names}")
    return {item["filename"]: item["id"] for item in made}


def _content(stage: Stage, item: str) -> bytes:
    return requests.get(f"{stage.google.url}/emulator/photos/{item}", timeout=TIMEOUT).content
