"""Drive's refusals in Google's words: every error the emulator's Drive answers with on purpose."""

from grantkeeper.emulator.answers import REALM
from grantkeeper.emulator.bearer import ApiError


def file_not_found(file_id: str) -> ApiError:
    """Missing, or not visible to this app: Drive makes no difference."""
    return ApiError(404, "notFound", f"File not found: {file_id}.", location=("parameter", "fileId"))


def invalid(parameter: str, message: str = "Invalid Value", reason: str = "invalid") -> ApiError:
    return ApiError(400, reason, message, location=("parameter", parameter))


def required(parameter: str, message: str | None = None) -> ApiError:
    return invalid(parameter, message or f"Required parameter: {parameter}", "required")


def bad_request(message: str) -> ApiError:
    return ApiError(400, "badRequest", message)


def parse_error() -> ApiError:
    return ApiError(400, "parseError", "Parse Error")


def not_for_app_data() -> ApiError:
    return ApiError(
        403,
        "notSupportedForAppDataFolderFiles",
        "Method not supported for files within the Application Data folder.",
    )


def app_not_authorized(file_id: str, project: str, verb: str) -> ApiError:
    """The app may see the file, but this token's scopes do not let it do more."""
    return ApiError(
        403,
        "appNotAuthorizedToFile",
        f"The user has not granted the app {project} {verb} access to the file {file_id}.",
    )


def top_folder() -> ApiError:
    return ApiError(
        403,
        "insufficientFilePermissions",
        "The user does not have sufficient permissions for this file.",
    )


def scope_missing(message: str, scope: str) -> ApiError:
    """A space was asked for that this token does not open."""
    return ApiError(
        403,
        "insufficientPermissions",
        message,
        headers={"WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{scope}"'},
    )


def too_many_parents() -> ApiError:
    return ApiError(403, "cannotAddParent", "Increasing the number of parents is not allowed")


def not_a_folder() -> ApiError:
    return ApiError(403, "parentNotAFolder", "The specified parent is not a folder.")


def not_copyable() -> ApiError:
    return ApiError(403, "cannotCopyFile", "This file cannot be copied by the user.")


def id_in_use() -> ApiError:
    return ApiError(409, "fileIdInUse", "A file already exists with the provided ID.")


def id_not_usable() -> ApiError:
    return ApiError(400, "fileIdInvalid", "The provided file ID is not usable.")


def not_downloadable() -> ApiError:
    return ApiError(
        403,
        "fileNotDownloadable",
        "Only files with binary content can be downloaded. Use Export with Docs Editors files.",
        location=("parameter", "alt"),
    )


def not_exportable() -> ApiError:
    return ApiError(403, "fileNotExportable", "Export only supports Docs Editors files.")


def conversion_not_supported() -> ApiError:
    return ApiError(
        400,
        "badRequest",
        "The requested conversion is not supported.",
        location=("parameter", "convertTo"),
    )


def quota_exceeded() -> ApiError:
    return ApiError(
        403, "storageQuotaExceeded", "The user's Drive storage quota has been exceeded.", domain="usageLimits"
    )
