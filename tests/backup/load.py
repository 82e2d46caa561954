"""Steady load on several nodes: requests for tokens and sign-ins, one client after another."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from tests.contract.stage import FROM_APP, Answer, Google, ask

PAUSE = 0.01


@dataclass
class Load:
    """
    What is asked, of whom, and what came of it.

    Attributes:
        ports: Of the nodes that a client may choose from; change it as nodes come and go.
        grants: Those that tokens are asked for; sign-ins add to them.
        wrong: Every answer that was not as it should be.
        codes: Held while a code is on its way; hold it to move the clock, for codes live ten minutes.
    """

    google: Google
    key: str
    ports: list[int]
    grants: list[str]
    clients: int = 4
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[object] = field(default_factory=list)
    cut: int = 0
    codes: threading.Lock = field(default_factory=threading.Lock)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _turn: Iterator[int] = field(default_factory=count)

    def ask(self, path: str, body: object, headers: dict[str, str]) -> Answer:
        """One request; where the connection is cut or refused, once more, of another node."""
        ports = self.ports
        port = ports[next(self._turn) % len(ports)]
        try:
            return ask(port, "POST", path, body, headers, limit=30)
        except (OSError, http.client.HTTPException):
            self.cut += 1
            others = [one for one in self.ports if one != port] or self.ports
            return ask(others[next(self._turn) % len(others)], "POST", path, body, headers, limit=30)

    def _token(self, number: int) -> None:
        grant = self.grants[number % len(self.grants)]
        answer = self.ask("/v1/token", {"grant": grant}, {"Authorization": f"Bearer {self.key}"})
        self._count("token", answer)

    def _sign_in(self, number: int) -> None:
        with self.codes:
            code = self.google.code(f"load-{threading.get_ident()}-{number}@example.com", force=True)
            # An Idempotency-Key makes a repeat after a cut connection safe.
            key = {"Idempotency-Key": f"load-{code}"[:200]}
            answer = self.ask("/v1/redeem", {"code": code}, FROM_APP | key)
        self._count("redeem", answer)
        if answer.status == 200:
            self.grants.append(answer.json["grant"]["id"])

    def _count(self, what: str, answer: Answer) -> None:
        self.answers[what] += 1
        if answer.status != 200:
            self.wrong.append((what, answer.status, answer.body))

    def _run(self) -> None:
        for number in count():
            if self._stopping.is_set():
                return
            try:
                (self._sign_in if number % 10 == 0 else self._token)(number)
            except Exception as error:
                self.wrong.append(repr(error))
            time.sleep(PAUSE)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """Under load, from here to there."""
        threads = [threading.Thread(target=self._run) for _ in range(self.clients)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()

    def some(self, more: int = 40) -> None:
        """Wait until *more* further requests were answered, or something is wrong."""
        until = sum(self.answers.values()) + more
        while sum(self.answers.values()) < until and not self.wrong:
            time.sleep(0.02)

    def without(self, port: int) -> None:
        """No client chooses that node any more."""
        self.ports = [one for one in self.ports if one != port]

    def with_also(self, ports: Sequence[int]) -> None:
        """Clients choose those as well."""
        self.ports = [*self.ports, *ports]
