"""The resources of both Photos APIs as schemas, for their discovery documents."""

from typing import Any

from grantkeeper.emulator.apis_schemas import list_of, members, ref
from grantkeeper.emulator.apis_table import Schema


def _schemas(table: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Schema]:
    return {
        name: {"id": name, "type": "object", "properties": properties} for name, properties in table.items()
    }


_STATUS = {**members("string", "message"), "code": {"type": "integer", "format": "int32"}}
_PAGE = members("string", "pageToken") | {"pageSize": {"type": "integer", "format": "int32"}}
_POSITION = members("string", "position", "relativeMediaItemId", "relativeEnrichmentItemId")

LIBRARY_SCHEMAS = _schemas(
    {
        "Empty": {},
        "Status": _STATUS,
        "Photo": {
            **members("string", "cameraMake", "cameraModel", "exposureTime"),
            **members("number", "focalLength", "apertureFNumber"),
            "isoEquivalent": {"type": "integer", "format": "int32"},
        },
        "Video": {**members("string", "cameraMake", "cameraModel", "status"), **members("number", "fps")},
        "MediaMetadata": {
            **members("time", "creationTime"),
            **members("int64", "width", "height"),
            "photo": ref("Photo"),
            "video": ref("Video"),
        },
        "MediaItem": {
            **members("string", "id", "description", "productUrl", "baseUrl", "mimeType", "filename"),
            "mediaMetadata": ref("MediaMetadata"),
        },
        "Album": {
            **members("string", "id", "title", "productUrl", "coverPhotoBaseUrl", "coverPhotoMediaItemId"),
            **members("boolean", "isWriteable"),
            **members("int64", "mediaItemsCount"),
        },
        "AlbumPosition": _POSITION,
        "SimpleMediaItem": members("string", "uploadToken", "fileName"),
        "NewMediaItem": {**members("string", "description"), "simpleMediaItem": ref("SimpleMediaItem")},
        "NewMediaItemResult": {
            **members("string", "uploadToken"),
            "status": ref("Status"),
            "mediaItem": ref("MediaItem"),
        },
        "BatchCreateMediaItemsRequest": {
            **members("string", "albumId"),
            "albumPosition": ref("AlbumPosition"),
            "newMediaItems": list_of(ref("NewMediaItem")),
        },
        "BatchCreateMediaItemsResponse": {"newMediaItemResults": list_of(ref("NewMediaItemResult"))},
        "MediaItemResult": {"status": ref("Status"), "mediaItem": ref("MediaItem")},
        "BatchGetMediaItemsResponse": {"mediaItemResults": list_of(ref("MediaItemResult"))},
        "ListMediaItemsResponse": {
            **members("string", "nextPageToken"),
            "mediaItems": list_of(ref("MediaItem")),
        },
        "Filters": {
            "dateFilter": {"type": "object", "additionalProperties": {"type": "any"}},
            "contentFilter": {"type": "object", "additionalProperties": {"type": "any"}},
            "mediaTypeFilter": {"type": "object", "additionalProperties": {"type": "any"}},
            "featureFilter": {"type": "object", "additionalProperties": {"type": "any"}},
            **members("boolean", "includeArchivedMedia", "excludeNonAppCreatedData"),
        },
        "SearchMediaItemsRequest": {
            **members("string", "albumId", "orderBy"),
            **_PAGE,
            "filters": ref("Filters"),
        },
        "SearchMediaItemsResponse": {
            **members("string", "nextPageToken"),
            "mediaItems": list_of(ref("MediaItem")),
        },
        "CreateAlbumRequest": {"album": ref("Album")},
        "ListAlbumsResponse": {**members("string", "nextPageToken"), "albums": list_of(ref("Album"))},
        "BatchAddMediaItemsToAlbumRequest": {"mediaItemIds": list_of({"type": "string"})},
        "BatchRemoveMediaItemsFromAlbumRequest": {"mediaItemIds": list_of({"type": "string"})},
        "LatLng": members("number", "latitude", "longitude"),
        "Location": {**members("string", "locationName"), "latlng": ref("LatLng")},
        "TextEnrichment": members("string", "text"),
        "LocationEnrichment": {"location": ref("Location")},
        "MapEnrichment": {"origin": ref("Location"), "destination": ref("Location")},
        "NewEnrichmentItem": {
            "textEnrichment": ref("TextEnrichment"),
            "locationEnrichment": ref("LocationEnrichment"),
            "mapEnrichment": ref("MapEnrichment"),
        },
        "AddEnrichmentToAlbumRequest": {
            "newEnrichmentItem": ref("NewEnrichmentItem"),
            "albumPosition": ref("AlbumPosition"),
        },
        "EnrichmentItem": members("string", "id"),
        "AddEnrichmentToAlbumResponse": {"enrichmentItem": ref("EnrichmentItem")},
    }
)

PICKER_SCHEMAS = _schemas(
    {
        "Empty": {},
        "PickingConfig": members("int64", "maxItemCount"),
        "PollingConfig": {
            "pollInterval": {"type": "string", "format": "google-duration"},
            "timeoutIn": {"type": "string", "format": "google-duration"},
        },
        "PickingSession": {
            **members("string", "id", "pickerUri"),
            **members("time", "expireTime"),
            **members("boolean", "mediaItemsSet"),
            "pollingConfig": ref("PollingConfig"),
            "pickingConfig": ref("PickingConfig"),
        },
        "PhotoMetadata": {
            **members("string", "exposureTime"),
            **members("number", "focalLength", "apertureFNumber"),
            "isoEquivalent": {"type": "integer", "format": "int32"},
        },
        "VideoMetadata": {**members("string", "processingStatus"), **members("number", "fps")},
        "MediaFileMetadata": {
            **members("string", "cameraMake", "cameraModel"),
            "width": {"type": "integer", "format": "int32"},
            "height": {"type": "integer", "format": "int32"},
            "photoMetadata": ref("PhotoMetadata"),
            "videoMetadata": ref("VideoMetadata"),
        },
        "MediaFile": {
            **members("string", "baseUrl", "mimeType", "filename"),
            "mediaFileMetadata": ref("MediaFileMetadata"),
        },
        "PickedMediaItem": {
            **members("string", "id", "type"),
            **members("time", "createTime"),
            "mediaFile": ref("MediaFile"),
        },
        "ListPickedMediaItemsResponse": {
            **members("string", "nextPageToken"),
            "mediaItems": list_of(ref("PickedMediaItem")),
        },
    }
)
