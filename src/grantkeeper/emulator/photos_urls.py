"""The `baseUrl` of an item: good for an hour, and only with a suffix that says what is wanted."""

import hashlib
import hmac
import re
import secrets
from datetime import datetime, timedelta

from grantkeeper.emulator.photos_errors import denied, invalid, not_found
from grantkeeper.emulator.photos_limits import BASE_URL_SECONDS

_RESIZED = re.compile(r"(?:w\d{1,5}|h\d{1,5}|c|no)(?:-(?:w\d{1,5}|h\d{1,5}|c|no))*")


class BaseUrls:
    """Makes keys that carry what they stand for and when they end, signed, so that nothing is remembered."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def key(self, now: datetime, *names: str) -> str:
        """A key for *names*, good for an hour from *now*."""
        end = now + timedelta(seconds=BASE_URL_SECONDS)
        text = "~".join((*names, str(int(end.timestamp()))))
        return f"{text}~{self._signed(text)}"

    def read(self, key: str, now: datetime) -> list[str]:
        """
        The names in *key*.

        Raises:
            ApiError: 404, it was not made here; 403, its hour is over.
        """
        text, _, signature = key.rpartition("~")
        if not text or not hmac.compare_digest(signature.encode(), self._signed(text).encode()):
            raise not_found()
        *names, end = text.split("~")
        if now.timestamp() >= int(end):
            raise denied("This baseUrl has expired; they live 60 minutes. Get the item again for a new one.")
        return names

    def _signed(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()[:32]


def split_suffix(path: str) -> tuple[str, str]:
    """The key and what stands behind the equals sign, empty if nothing does."""
    key, _, suffix = path.partition("=")
    return key, suffix


def check_suffix(suffix: str, *, video: bool) -> bool:
    """
    Whether *suffix* asks for the download, `d` or `dv`, and not for a picture to show.

    Raises:
        ApiError: 400, there is none, or not one that fits a photo or a *video*.
    """
    if suffix in ("d", "dv"):
        if (suffix == "dv") != video:
            raise invalid(f"={suffix} does not fit: photos are downloaded with =d, videos with =dv.")
        return True
    if _RESIZED.fullmatch(suffix):
        return False
    raise invalid("A baseUrl needs a suffix: =w…-h… for a size, =d to download a photo, =dv a video.")
