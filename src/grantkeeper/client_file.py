"""
Reading the client file that the Google Cloud console hands out (google-facts 7.1).

Its addresses are ignored: a doctored file must not redirect our secrets. Every
other JSON and plist that people mistake for it gets a sentence of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from grantkeeper.secret import ClientSecret

LARGEST_FILE = 256 * 1024

WANTED = "the JSON of an OAuth client of type web or desktop (client_secret_….json)"

MISTAKEN: Mapping[str, str] = {
    "service_account": f"is the key of a service account; sign-in needs {WANTED}",
    "authorized_user": f"holds one user's credentials; sign-in needs {WANTED}",
    "external_account": f"describes a workload's identity; sign-in needs {WANTED}",
    "external_account_authorized_user": f"holds one user's credentials; sign-in needs {WANTED}",
}
"""What other files of Google's say in ``type``, and the rest of a sentence for each."""

PLIST = (
    "is a property list of an iOS client, and iOS clients have no secret; use the JSON of the web client "
    "that the app names as GIDServerClientID, and list the iOS client in app_client_ids"
)
ANDROID = f"is the google-services.json of an Android app, which holds no secret; sign-in needs {WANTED}"


@dataclass(frozen=True, slots=True)
class ClientFile:
    """What is used of a client file."""

    installed: bool
    client_id: str
    secret: ClientSecret
    project: str | None
    redirect_uris: tuple[str, ...]
    origins: tuple[str, ...]


def read_client_file(path: Path) -> ClientFile:
    """
    The client in the file at *path*.

    Raises:
        ValueError: It is none; the rest of a sentence that begins with "the file".
    """
    try:
        with path.open("rb") as file:
            document = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise ValueError("does not exist") from None
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    if len(document) > LARGEST_FILE:
        raise ValueError("is too large to be a client file")
    start = document.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith((b"bplist", b"<?xml", b"<!DOCTYPE plist", b"<plist")):
        raise ValueError(PLIST)
    try:
        read = msgspec.json.decode(start)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError(f"is not JSON; sign-in needs {WANTED}") from None
    return parse_client(read)


def parse_client(document: object) -> ClientFile:
    """
    The client in the content of a client file.

    Raises:
        ValueError: It is none; the rest of a sentence that begins with "the file".
    """
    if not isinstance(document, Mapping):
        raise ValueError(f"is not a JSON object; sign-in needs {WANTED}")
    kind = document.get("type")
    if isinstance(kind, str) and kind in MISTAKEN:
        raise ValueError(MISTAKEN[kind])
    if "project_info" in document:
        raise ValueError(ANDROID)
    kinds = [name for name in ("web", "installed") if name in document]
    if len(kinds) != 1 or not isinstance(document[kinds[0]], Mapping):
        raise ValueError(f"has not exactly one of `web` and `installed` at its top; sign-in needs {WANTED}")
    fields = document[kinds[0]]
    return ClientFile(
        installed=kinds == ["installed"],
        client_id=_word(fields, "client_id"),
        secret=ClientSecret(_word(fields, "client_secret")),
        project=_word(fields, "project_id") if fields.get("project_id") else None,
        redirect_uris=_words(fields, "redirect_uris"),
        origins=_words(fields, "javascript_origins"),
    )


def _word(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None and name == "client_secret":
        raise ValueError("has no client_secret; make one for this client in the Google Cloud console")
    if not isinstance(value, str) or not value or not all("!" <= char <= "~" for char in value):
        raise ValueError(f"has no {name} that could be one")
    if value.startswith("[["):
        raise ValueError(f"still has a placeholder as its {name}; download it from the Google Cloud console")
    return value


def _words(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = fields.get(name)
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"has {name} that are not a list of texts")
    return tuple(value)
