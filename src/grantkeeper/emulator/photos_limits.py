"""What Google Photos allows: sizes, lengths, lifetimes and quotas, which tests may make smaller."""

import msgspec

MIB = 1024**2


class Limits(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """
    The limits, as Google has them unless a test changes them.

    Sizes are in bytes, times in seconds. None is no limit.

    Attributes:
        requests_per_day: Calls of the Library API per project; a chunk of an upload is not one.
        media_requests_per_day: Requests for bytes by a `baseUrl`, per project.
        photo_bytes: The largest photo.
        video_bytes: The largest video.
        storage_bytes: What a user's account holds.
        album_items: What an album holds.
        batch_create_seconds: How long `mediaItems:batchCreate` takes, by the real clock. Another one of the
            same user that comes meanwhile is refused.
        picked_items: The most that one session of the Picker lets a user pick.
        open_sessions: Sessions of the Picker that one user has open in one project.
        poll_seconds: The `pollInterval` that the Picker asks for.
        poll_timeout_seconds: The first `timeoutIn`: how long a session is worth polling.
        session_seconds: How long a session of the Picker lives.
    """

    requests_per_day: int | None = 10_000
    media_requests_per_day: int | None = 75_000
    photo_bytes: int = 200 * MIB
    video_bytes: int = 20 * 1024 * MIB
    storage_bytes: int = 15 * 1024 * MIB
    album_items: int = 20_000
    batch_create_seconds: float = 0.02
    picked_items: int = 2000
    open_sessions: int = 100
    poll_seconds: float = 5.0
    poll_timeout_seconds: float = 1800.0
    session_seconds: float = 86_400.0


ITEMS_PER_CALL = 50
TITLE_LENGTH = 500
DESCRIPTION_LENGTH = 1000
FILENAME_LENGTH = 255
UPLOAD_TOKEN_SECONDS = 86_400
BASE_URL_SECONDS = 3600
