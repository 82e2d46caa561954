"""
The report of a panic: a line for each grant, chained by hashes and signed, and how it is verified.

The first line says who did what, when, and what was chosen; the last but one
counts; the last is the signature. Each line but the last goes into a chain:
SHA-256 of the chain so far and the line. The lines hold ids and never e-mail.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from grantkeeper.protocol.session import SessionRejected, verify_statement

KIND = "gk-panic-report+jws"
"""``typ`` of the signature's header."""

LONGEST_LINE = 65536


class ReportWrong(ValueError):
    """A report that must not be believed; the text says why."""


class ReportLines:
    """Writes lines and keeps the chain and the hash of the whole."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._whole = hashlib.sha256()
        self.chain = bytes(32)

    def add(self, line: Mapping[str, Any]) -> None:
        """One more line."""
        raw = msgspec.json.encode(line)
        self._file.write(raw + b"\n")
        self._whole.update(raw + b"\n")
        self.chain = hashlib.sha256(self.chain + raw).digest()

    @property
    def sha256(self) -> str:
        """Of everything so far."""
        return self._whole.copy().hexdigest()

    def sign(self, jws: str) -> None:
        """The last line."""
        self._file.write(msgspec.json.encode({"type": "signature", "jws": jws}) + b"\n")


def verified(path: Path, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """
    What the report at *path* counts, once it is proved that nothing of it was changed.

    Args:
        jwks: The public keys of the grantkeeper that made it.

    Raises:
        ReportWrong: It is none, not whole, changed, or signed by somebody else.
        OSError: It cannot be read.
    """
    whole, chain, lines = hashlib.sha256(), bytes(32), 0
    answers: dict[str, int] = {}
    header: dict[str, Any] | None = None
    trailer: dict[str, Any] | None = None
    signature: str | None = None
    with path.open("rb") as file:
        for raw in _lines(file):
            line = _decoded(raw)
            kind = line.get("type")
            if signature is not None:
                raise ReportWrong("something comes after the signature")
            if kind == "signature":
                signature = str(line.get("jws"))
                continue
            if trailer is not None:
                raise ReportWrong("something comes after the trailer")
            if (header is None) != (kind == "header"):
                raise ReportWrong("it does not begin with its header")
            whole.update(raw + b"\n")
            if kind == "header":
                header = line
            elif kind == "grant":
                lines += 1
                answers[str(line.get("answer"))] = answers.get(str(line.get("answer")), 0) + 1
            elif kind == "trailer":
                trailer = line
                if line.get("chain") != chain.hex():
                    raise ReportWrong("the chain of its lines is broken")
            else:
                raise ReportWrong("it has a line of an unknown kind")
            chain = hashlib.sha256(chain + raw).digest()
    if header is None or trailer is None or signature is None:
        raise ReportWrong("it is not whole")
    if trailer.get("grants") != lines or trailer.get("answers") != answers:
        raise ReportWrong("its trailer counts other lines than are there")
    try:
        said = verify_statement(signature, jwks, KIND)
    except SessionRejected as error:
        raise ReportWrong(str(error).replace("session token", "signature")) from None
    if said.get("sha256") != whole.hexdigest() or said.get("run") != header.get("run"):
        raise ReportWrong("its signature is of another report")
    return {**header, "grants": lines, "answers": answers, "signed_at": said.get("signed_at")}


def _lines(file: BinaryIO) -> Iterable[bytes]:
    while raw := file.readline(LONGEST_LINE):
        if not raw.endswith(b"\n"):
            raise ReportWrong("it is cut off, or a line is too long")
        yield raw[:-1]


def _decoded(raw: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise ReportWrong("it has a line that is no JSON object") from None


__all__ = ["KIND", "ReportLines", "ReportWrong", "verified"]
