"""What a race must know of a service: how to start it, sign users in and ask it for a token."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grantkeeper.testing.google import Code, GoogleEmulator
from grantkeeper.testing.processes import without_settings


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where a race is run.

    Attributes:
        folder: Empty at the beginning, and gone afterwards; every process works in it.
        google: The issuer. Its ``client_secret`` is the path of a client file in Google's format, its
            ``clock_file`` where its clock's offset is mapped.
    """

    folder: Path
    google: GoogleEmulator

    @property
    def client(self) -> Mapping[str, Any]:
        """The registered client: ``client_id``, ``client_secret``, ``token_uri`` and more."""
        assert self.google.client_secret is not None
        content: dict[str, Any] = json.loads(self.google.client_secret.read_text(encoding="utf-8"))
        found: Mapping[str, Any] = content["web"]
        return found


@dataclass(frozen=True, slots=True)
class Ask:
    """An HTTP request for a token."""

    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Reply:
    """
    What came back.

    Attributes:
        status: 0 where nothing came: the process is gone, or not there.
        seconds: From sending to the last byte.
    """

    status: int
    body: bytes = b""
    seconds: float = 0.0

    @property
    def json(self) -> Any:
        """The body as JSON; ``None`` if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Target(ABC):
    """
    A token service that can be raced: a subclass says how.

    All methods may block; those of a race run beside its loop.

    Attributes:
        name: Heads its column.
    """

    name = "service"

    def prepare(self, place: Place) -> None:  # noqa: B027 - some services need nothing
        """Once, before the first node: keys, settings, an empty database."""

    @abstractmethod
    def command(self, place: Place) -> Sequence[str]:
        """
        The command of a node.

        It listens on a free port of 127.0.0.1 and writes ``http://127.0.0.1:PORT`` to one of its
        outputs, on a line, once it answers.
        """

    def environment(self, place: Place) -> Mapping[str, str]:
        """A node's environment; default this process's, without settings of grantkeeper."""
        return without_settings()

    @abstractmethod
    def sign_in(self, place: Place, url: str, code: Code) -> str:
        """
        Make a grant of a one-time *code*, as an iPhone sends it; the name that `ask` calls it by.

        Args:
            url: A node. A service without sign-in may redeem the code itself and write its database.
        """

    @abstractmethod
    def ask(self, grant: str) -> Ask:
        """The request for a token of *grant*."""

    def token(self, reply: Reply) -> str | None:
        """The access token in an answer, if it has one; default ``access_token`` of a JSON object."""
        found = reply.json
        token = found.get("access_token") if reply.status == 200 and isinstance(found, dict) else None
        return token if isinstance(token, str) else None

    def pass_time(self, place: Place, seconds: float) -> None:
        """
        Let *seconds* pass for issuer and service; default moves the emulator's clock.

        A service that cannot share that clock also moves the ends of its stored tokens, here.
        """
        place.google.advance(seconds)
