"""The Photos Library API v1 as a table, as far as it is left since 31 March 2025."""

from grantkeeper.emulator.apis_table import Api, Method, Parameter
from grantkeeper.emulator.photos_limits import ITEMS_PER_CALL
from grantkeeper.emulator.photos_schemas import LIBRARY_SCHEMAS
from grantkeeper.emulator.scopes import PHOTOS_APPEND, PHOTOS_EDIT, PHOTOS_READ

FOLDER = "photoslibrary/"

_APPEND = (PHOTOS_APPEND,)
_READ = (PHOTOS_READ,)
_EDIT = (PHOTOS_EDIT,)
_APPEND_OR_EDIT = (PHOTOS_APPEND, PHOTOS_EDIT)

_TOKEN = Parameter("pageToken", "The nextPageToken of the page before.")
_ALBUM = Parameter("albumId", "The id of the album.", location="path", required=True)
_MASK = Parameter("updateMask", "The members that change, joined by commas.")
_ID = Parameter("id", "The id of what changes.", location="path", required=True)


def _page_size(usual: int, most: int, what: str) -> Parameter:
    return Parameter("pageSize", f"{what} a page.", "integer", default=str(usual), minimum=0, maximum=most)


_METHODS = (
    Method(
        "photoslibrary.mediaItems.batchCreate",
        "POST",
        "v1/mediaItems:batchCreate",
        f"Up to {ITEMS_PER_CALL} uploads become items, and go into an album. One call at a time for a user.",
        _APPEND,
        request="BatchCreateMediaItemsRequest",
        response="BatchCreateMediaItemsResponse",
    ),
    Method(
        "photoslibrary.mediaItems.batchGet",
        "GET",
        "v1/mediaItems:batchGet",
        f"Up to {ITEMS_PER_CALL} items by id, each with a status of its own.",
        _READ,
        (Parameter("mediaItemIds", "The ids.", repeated=True),),
        response="BatchGetMediaItemsResponse",
    ),
    Method(
        "photoslibrary.mediaItems.get",
        "GET",
        "v1/mediaItems/{+mediaItemId}",
        "An item that the app made.",
        _READ,
        (Parameter("mediaItemId", "The id of the item.", location="path", required=True),),
        response="MediaItem",
    ),
    Method(
        "photoslibrary.mediaItems.list",
        "GET",
        "v1/mediaItems",
        "The items that the app made, the latest first, a page at a time.",
        _READ,
        (_page_size(25, 100, "Items"), _TOKEN),
        response="ListMediaItemsResponse",
    ),
    Method(
        "photoslibrary.mediaItems.search",
        "POST",
        "v1/mediaItems:search",
        "The items of an album, or those that filters let through.",
        _READ,
        request="SearchMediaItemsRequest",
        response="SearchMediaItemsResponse",
    ),
    Method(
        "photoslibrary.mediaItems.patch",
        "PATCH",
        "v1/mediaItems/{+id}",
        "Change an item's description.",
        _EDIT,
        (_ID, _MASK),
        request="MediaItem",
        response="MediaItem",
    ),
    Method(
        "photoslibrary.albums.create",
        "POST",
        "v1/albums",
        "A new album.",
        _APPEND_OR_EDIT,
        request="CreateAlbumRequest",
        response="Album",
    ),
    Method(
        "photoslibrary.albums.get",
        "GET",
        "v1/albums/{+albumId}",
        "An album that the app made.",
        _READ,
        (_ALBUM,),
        response="Album",
    ),
    Method(
        "photoslibrary.albums.list",
        "GET",
        "v1/albums",
        "The albums that the app made, a page at a time.",
        _READ,
        (
            _page_size(20, 50, "Albums"),
            _TOKEN,
            Parameter(
                "excludeNonAppCreatedData",
                "Whether only the app's own are listed, which they are anyway.",
                "boolean",
                default="false",
            ),
        ),
        response="ListAlbumsResponse",
    ),
    Method(
        "photoslibrary.albums.patch",
        "PATCH",
        "v1/albums/{+id}",
        "Change an album's title or cover.",
        _EDIT,
        (_ID, _MASK),
        request="Album",
        response="Album",
    ),
    Method(
        "photoslibrary.albums.batchAddMediaItems",
        "POST",
        "v1/albums/{+albumId}:batchAddMediaItems",
        f"Put up to {ITEMS_PER_CALL} of the app's items into one of its albums.",
        _APPEND_OR_EDIT,
        (_ALBUM,),
        request="BatchAddMediaItemsToAlbumRequest",
        response="Empty",
    ),
    Method(
        "photoslibrary.albums.batchRemoveMediaItems",
        "POST",
        "v1/albums/{+albumId}:batchRemoveMediaItems",
        f"Take up to {ITEMS_PER_CALL} items out of an album; they stay in the library.",
        _EDIT,
        (_ALBUM,),
        request="BatchRemoveMediaItemsFromAlbumRequest",
        response="Empty",
    ),
    Method(
        "photoslibrary.albums.addEnrichment",
        "POST",
        "v1/albums/{+albumId}:addEnrichment",
        "Put a text, a place or a way between an album's items.",
        _APPEND_OR_EDIT,
        (_ALBUM,),
        request="AddEnrichmentToAlbumRequest",
        response="AddEnrichmentToAlbumResponse",
    ),
)

PHOTOS = Api(
    name="photoslibrary",
    version="v1",
    title="Photos Library API",
    description="What an app adds to its users' Google Photos: items and albums, which it alone sees.",
    revision="20261106",
    service_path="",
    batch_path="batch",
    methods=_METHODS,
    schemas=LIBRARY_SCHEMAS,
    scopes={
        PHOTOS_APPEND: "Add to the user's photo library.",
        PHOTOS_READ: "See items and albums that the app made.",
        PHOTOS_EDIT: "Change items and albums that the app made.",
    },
    documentation="https://developers.google.com/photos/",
    folder=FOLDER,
)
