"""Scope names: the ones Google answers with, which are not always the ones that were asked for."""

from collections.abc import Iterable

PREFIX = "https://www.googleapis.com/auth/"
OPENID = "openid"
EMAIL = PREFIX + "userinfo.email"
PROFILE = PREFIX + "userinfo.profile"
DRIVE_APPDATA = PREFIX + "drive.appdata"
DRIVE_FILE = PREFIX + "drive.file"
PHOTOS_APPEND = PREFIX + "photoslibrary.appendonly"
PHOTOS_READ = PREFIX + "photoslibrary.readonly.appcreateddata"
PHOTOS_EDIT = PREFIX + "photoslibrary.edit.appcreateddata"
PICKER_READ = PREFIX + "photospicker.mediaitems.readonly"

IDENTITY = frozenset({OPENID, EMAIL, PROFILE})

_ALIASES = {"email": EMAIL, "profile": PROFILE}

_DESCRIPTIONS = {
    OPENID: "Know who you are",
    EMAIL: "See your primary e-mail address",
    PROFILE: "See your name and picture",
    DRIVE_APPDATA: "See, create and delete its own configuration data in your Drive",
    DRIVE_FILE: "See, edit, create and delete only the Drive files you use with this app",
    PREFIX + "drive": "See, edit, create and delete all of your Drive files",
    PREFIX + "drive.readonly": "See and download all of your Drive files",
    PREFIX + "drive.metadata.readonly": "See information about your Drive files",
    PHOTOS_APPEND: "Add to your photo library",
    PHOTOS_READ: "See photos and albums that this app made",
    PHOTOS_EDIT: "Change photos and albums that this app made",
    PICKER_READ: "See the photos and videos that you pick",
    PREFIX + "calendar": "See, edit, share and delete all of your calendars",
    PREFIX + "calendar.readonly": "See and download any of your calendars",
}


def canonical(scopes: Iterable[str]) -> frozenset[str]:
    """
    *scopes* under the names Google uses in its answers.

    ``email`` and ``profile`` come back as URLs, and either of them brings ``openid`` along.
    """
    named = {_ALIASES.get(scope, scope) for scope in scopes}
    if named & {EMAIL, PROFILE}:
        named.add(OPENID)
    return frozenset(named)


def parse(text: str) -> frozenset[str]:
    """The canonical scopes of a space-separated *text*."""
    return canonical(text.split())


def joined(scopes: Iterable[str]) -> str:
    """*scopes* as one string, in an order that has nothing to do with the request's."""
    return " ".join(sorted(scopes, reverse=True))


def describe(scope: str) -> str:
    """What the consent page says about *scope*."""
    return _DESCRIPTIONS.get(scope, scope)
