"""Answers in the shapes Google uses: JSON bodies, OAuth errors and the two envelopes of API errors."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from starlette.responses import Response

Envelope = Literal["classic", "status"]

_CLASSIC = ("/drive/", "/upload/", "/resumable/", "/oauth2/", "/batch")

REALM = 'Bearer realm="https://accounts.google.com/"'

_STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    416: "OUT_OF_RANGE",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Json(Response):
    """A JSON answer."""

    media_type = "application/json; charset=utf-8"

    def render(self, content: Any) -> bytes:
        return msgspec.json.encode(content)


class OAuthError(Exception):
    """
    An error answer of the token or revocation endpoint (RFC 6749 5.2).

    Args:
        error: The code.
        description: Google's text, often just ``Bad Request``.
        status: The HTTP status.
        subtype: Google's ``error_subtype``.
    """

    def __init__(
        self, error: str, description: str = "Bad Request", *, status: int = 400, subtype: str | None = None
    ) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.status = status
        self.body = {"error": error, "error_description": description}
        if subtype is not None:
            self.body["error_subtype"] = subtype

    def response(self) -> Response:
        """The answer. It is never cached (RFC 6749 5.2)."""
        headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="https://accounts.google.com/"'
        return Json(self.body, self.status, headers)


class ApiError(Exception):
    """
    An error answer of an API.

    Args:
        status: The HTTP status.
        reason: The machine word of the classic envelope, such as ``notFound``.
        message: The sentence.
        domain: The classic envelope's domain.
        info: The ``ErrorInfo`` reason of the newer envelope; none, no details.
        metadata: What the ``ErrorInfo`` adds.
        location: What was wrong, as the classic envelope names it: type and name.
        name: The `google.rpc.Code` of the newer envelope, where it is not the usual one of the status.
        headers: Sent along.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        domain: str = "global",
        info: str | None = None,
        metadata: Mapping[str, str] | None = None,
        location: tuple[str, str] | None = None,
        name: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.domain = domain
        self.info = info
        self.metadata = dict(metadata or {})
        self.location = location
        self.name = name or _STATUS_NAMES.get(status, "UNKNOWN")
        self.headers = dict(headers or {})

    def body(self, envelope: Envelope) -> dict[str, Any]:
        """The JSON body in the classic (Drive) or the newer (People, Photos) form."""
        error: dict[str, Any] = {"code": self.status, "message": self.message}
        if envelope == "classic":
            item = {"message": self.message, "domain": self.domain, "reason": self.reason}
            if self.location is not None:
                item["locationType"], item["location"] = self.location
            error["errors"] = [item]
        if envelope == "status" or self.status == 401:
            error["status"] = self.name
        if envelope == "status" and self.info is not None:
            error["details"] = [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": self.info,
                    "domain": "googleapis.com",
                    "metadata": self.metadata,
                }
            ]
        return {"error": error}

    def response(self, envelope: Envelope) -> Response:
        """The answer."""
        return Json(self.body(envelope), self.status, self.headers)


def invalid_credentials() -> ApiError:
    """The 401 of an access token that is expired, revoked or unknown."""
    return ApiError(
        401,
        "authError",
        "Invalid Credentials",
        info="ACCESS_TOKEN_EXPIRED",
        location=("header", "Authorization"),
        headers={"WWW-Authenticate": f'{REALM}, error="invalid_token"'},
    )


def envelope_of(path: str) -> Envelope:
    """Which error envelope the API at *path* uses."""
    return "classic" if path.startswith(_CLASSIC) else "status"
