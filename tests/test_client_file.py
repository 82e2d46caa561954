"""Client files of the Google Cloud console, and all that people mistake for one."""

import json
from pathlib import Path

import pytest

from tests.settings_files import WEB, only, problems, settings, web, write


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory with one web client's file."""
    write(tmp_path / "client_secret.json", {"web": WEB})
    return tmp_path


# -- client files ------------------------------------------------------------------------------

PLIST = b'<?xml version="1.0"?><plist><dict><key>CLIENT_ID</key><string>marker</string></dict></plist>'

WRONG_FILES: dict[str, tuple[bytes, str]] = {
    "an iOS plist": (PLIST, "property list of an iOS client"),
    "a binary plist": (b"bplist00marker", "property list of an iOS client"),
    "a service account": (
        b'{"type": "service_account", "private_key": "marker"}',
        "key of a service account",
    ),
    "a user's credentials": (
        b'{"type": "authorized_user", "refresh_token": "marker"}',
        "one user's credentials",
    ),
    "google-services.json": (
        b'{"project_info": {"project_id": "marker"}, "client": []}',
        "google-services.json",
    ),
    "nothing": (b"", "is not JSON"),
    "text": (b"marker", "is not JSON"),
    "cut off": (json.dumps({"web": WEB}).encode()[:-9], "is not JSON"),
    "not UTF-8": (b'{"web": "\xff"}', "is not JSON"),
    "a list": (b'["marker"]', "is not a JSON object"),
    "neither": (b'{"marker": {}}', "exactly one of `web` and `installed`"),
    "both": (json.dumps({"web": WEB, "installed": WEB}).encode(), "exactly one of `web` and `installed`"),
    "web of the wrong type": (b'{"web": ["marker"]}', "exactly one of `web` and `installed`"),
    "too deep": (b"[" * 100_000, "is not JSON"),
    "too large": (b" " * 300_000, "too large"),
    "no secret": (json.dumps(web(client_secret=None)).encode(), "has no client_secret; make one"),
    "an empty secret": (json.dumps(web(client_secret="")).encode(), "has no client_secret that could be one"),
    "a placeholder": (
        json.dumps(web(client_secret="[[marker]]")).encode(),
        "placeholder as its client_secret",
    ),
    "a placeholder id": (json.dumps(web(client_id="[[marker]]")).encode(), "placeholder as its client_id"),
    "an id of the wrong type": (json.dumps(web(client_id=["marker"])).encode(), "has no client_id"),
    "a blank in the id": (json.dumps(web(client_id="mar ker")).encode(), "has no client_id"),
    "redirects of the wrong type": (
        json.dumps(web(redirect_uris="marker")).encode(),
        "redirect_uris that are not a list",
    ),
    "redirects on plain http": (
        json.dumps(web(redirect_uris=["http://marker.example"])).encode(),
        "the file's redirect_uris must be https",
    ),
    "origins on plain http": (
        json.dumps(web(javascript_origins=["http://marker.example"])).encode(),
        "the file's javascript_origins must be https",
    ),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_wrong_file_is_told_apart_by_kind(here: Path, name: str) -> None:
    """
    The frequent mix-ups get a sentence that says which file is wanted; no content is quoted.
    """
    content, sentence = WRONG_FILES[name]
    (here / "client_secret.json").write_bytes(content)
    (problem,) = problems(here)

    assert problem.startswith("GRANTKEEPER_CLIENT_SECRETS: the file")
    assert sentence in problem


def test_a_byte_order_mark_is_no_reason_to_refuse(here: Path) -> None:
    """
    Some editors leave one.
    """
    (here / "client_secret.json").write_bytes(b"\xef\xbb\xbf" + json.dumps({"web": WEB}).encode())

    assert "shop" == only(settings(here)).project


def test_an_unreadable_client_file_is_a_problem(here: Path) -> None:
    """
    A directory cannot be read by anybody, root included.
    """
    (here / "client_secret.json").unlink()
    (here / "client_secret.json").mkdir()
    (problem,) = problems(here)

    assert problem.startswith("GRANTKEEPER_CLIENT_SECRETS: the file cannot be read (")
