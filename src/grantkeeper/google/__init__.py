"""Google's Photos, Picker and Drive for work outliving its worker: uploads go on, things are made once."""

from grantkeeper.google.content import Content, StreamContent
from grantkeeper.google.drive import Drive
from grantkeeper.google.drive_files import DriveFile
from grantkeeper.google.drive_upload import DriveUpload, FileExists
from grantkeeper.google.photos import Album, MediaItem, NewMedia, Photos
from grantkeeper.google.photos_once import OnceItem, create_once, find_created
from grantkeeper.google.photos_upload import PhotosUpload
from grantkeeper.google.picker import PickedItem, Picker, PickingSession
from grantkeeper.google.session import Session

__all__ = [
    "Album",
    "Content",
    "Drive",
    "DriveFile",
    "DriveUpload",
    "FileExists",
    "MediaItem",
    "NewMedia",
    "OnceItem",
    "Photos",
    "PhotosUpload",
    "PickedItem",
    "Picker",
    "PickingSession",
    "Session",
    "StreamContent",
    "create_once",
    "find_created",
]
