"""The refusals of Google Photos, in the newer envelope."""

from collections.abc import Mapping

from grantkeeper.emulator.answers import ApiError

LIBRARY = "photoslibrary.googleapis.com"
PICKER = "photospicker.googleapis.com"


def invalid(message: str) -> ApiError:
    """400 INVALID_ARGUMENT."""
    return ApiError(400, "invalidArgument", message)


def failed_precondition(message: str, info: str | None = None) -> ApiError:
    """400 FAILED_PRECONDITION: right in itself, but not now."""
    return ApiError(400, "failedPrecondition", message, name="FAILED_PRECONDITION", info=info)


def not_found(message: str = "Requested entity was not found.") -> ApiError:
    """404: missing, or another app's, or another user's; Google makes no difference."""
    return ApiError(404, "notFound", message)


def denied(message: str, info: str | None = None) -> ApiError:
    """403 PERMISSION_DENIED."""
    return ApiError(403, "permissionDenied", message, info=info)


def sharing_is_gone() -> ApiError:
    """The calls that ended on 31 March 2025."""
    return denied("The caller does not have permission. Shared albums are not available since 2025-03-31.")


def one_at_a_time() -> ApiError:
    """A second write for a user while the first is still under way."""
    return exhausted(
        f"Quota exceeded for quota 'concurrent write request' of service '{LIBRARY}'.", "concurrentWrites"
    )


def day_is_spent(metric: str, limit: int, project: str) -> ApiError:
    """The project has used its requests of the day up."""
    return exhausted(
        f"Quota exceeded for quota metric '{metric}' and limit '{metric} per day' of service '{LIBRARY}' "
        f"for consumer 'project_number:{project}'.",
        "quotaExceeded",
        {
            "service": LIBRARY,
            "consumer": f"projects/{project}",
            "quota_metric": f"{LIBRARY}/{metric.lower().replace(' ', '_')}",
            "quota_limit_value": str(limit),
        },
    )


def exhausted(message: str, reason: str, metadata: Mapping[str, str] | None = None) -> ApiError:
    """429 RESOURCE_EXHAUSTED."""
    return ApiError(429, reason, message, info="RATE_LIMIT_EXCEEDED", metadata=metadata)
