"""The emulator's file store and a desk at it, without HTTP."""

from datetime import UTC, datetime

import pytest

from grantkeeper.emulator.bearer import Access, ApiError
from grantkeeper.emulator.drive_files import Desk, Media
from grantkeeper.emulator.drive_resources import NO_METADATA
from grantkeeper.emulator.drive_store import DriveStore
from grantkeeper.emulator.world import World
from tests.emulator.drive_kit import FULL, READONLY

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def desk(store: DriveStore, *scopes: str) -> Desk:
    user = World("http://emulator.test").user("ann@example.com")
    access = Access(user.sub, user.email, "client", "project", frozenset(scopes), "token")
    return Desk(store, access, user, NOW)


def test_a_full_drive_takes_nothing_more() -> None:
    """
    The last byte of the quota may be used, one more is refused and nothing changes.
    """
    store = DriveStore(quota=10)
    ann = desk(store, FULL)
    file = ann.create(NO_METADATA, Media(b"1234567890"))

    with pytest.raises(ApiError) as caught:
        ann.create(NO_METADATA, Media(b"1"))

    assert (403, "storageQuotaExceeded", "usageLimits") == (
        caught.value.status,
        caught.value.reason,
        caught.value.domain,
    )
    assert (10, 0) == ann.used()
    ann.update(file.id, NO_METADATA, Media(b"123"))
    assert (3, 0) == ann.used()


def test_version_numbers_grow_over_all_files() -> None:
    """
    A version number is never used twice, so the newest change is known.
    """
    store = DriveStore()
    ann = desk(store, FULL)
    first = ann.create(NO_METADATA, None)
    second = ann.create(NO_METADATA, None)
    again = ann.update(first.id, NO_METADATA, None)

    assert first.version < second.version < again.version


def test_a_reader_cannot_write() -> None:
    """
    What is seen with drive.readonly is refused to change as `appNotAuthorizedToFile`.
    """
    store = DriveStore()
    file = desk(store, FULL).create(NO_METADATA, None)
    reader = desk(store, READONLY)

    assert file == reader.find(file.id)
    with pytest.raises(ApiError) as caught:
        reader.update(file.id, NO_METADATA, None)
    assert (403, "appNotAuthorizedToFile") == (caught.value.status, caught.value.reason)


def test_the_content_is_not_shown_by_repr() -> None:
    """
    A file in a log line or an assertion does not print the user's data.
    """
    file = desk(DriveStore(), FULL).create(NO_METADATA, Media(b"private"))

    assert "private" not in repr(file)
