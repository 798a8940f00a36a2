"""What S3's refusals and silences mean, as the errors of object_store.py, each with its advice."""

from shlex import quote

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from .object_store import (
    ObjectArchived,
    ObjectNotFound,
    OutcomeUnknown,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreUnreachable,
)

DENIED = {
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "403",
    "Forbidden",
    "AllAccessDisabled",
    "TokenRefreshRequired",
}
EXISTS = {"PreconditionFailed", "412"}
CONTENTION = {"ConditionalRequestConflict", "OperationAborted", "409"}
MISSING = {"NoSuchKey", "404", "NotFound"}
ARCHIVED = "InvalidObjectState"
# No answer, or none that can be understood. An answer that says what went wrong may itself be cut short; boto3 then
# lets its HTTP library's or its parser's own exception through.
NO_ANSWER = (BotoCoreError, HTTPError, ResponseParserError)


def code_of(error: ClientError) -> str:
    """Return S3's word for what is wrong."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    """Return the answer's HTTP status, 0 when there is none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def put_error(where: str, bucket: str, error: Exception) -> StoreError:
    """Return what a PUT that failed means. `where`: what was being done, to which object, at which endpoint."""
    known = _known(where, bucket, error)
    if known is not None:
        return known
    if isinstance(error, ClientError):
        status = status_of(error)
        if code_of(error) in CONTENTION or status >= 500 or status == 409:
            return OutcomeUnknown(f"{where}: {error}")
        return StoreError(f"{where}: {error}")
    if isinstance(error, EndpointConnectionError):
        return OutcomeUnknown(f"{where}: no connection ({error}); is the S3 endpoint right and up?")
    return OutcomeUnknown(f"{where}: {error}{_way_advice(error)}")


def read_error(where: str, bucket: str, url: str, error: Exception) -> StoreError:
    """Return what a read or delete of the object at `url` that failed means."""
    known = _known(where, bucket, error)
    if known is not None:
        if (
            isinstance(known, StoreDenied)
            and isinstance(error, ClientError)
            and code_of(error) in {"AccessDenied", "403"}
        ):
            return StoreDenied(f"{known}; AWS refuses so even what does not exist, if the role lacks s3:ListBucket")
        return known
    if isinstance(error, ClientError):
        if code_of(error) in MISSING:
            return ObjectNotFound(f"{url} does not exist")
        if code_of(error) == ARCHIVED:
            return archived(url, str(error.response.get("Error", {}).get("StorageClass") or ""))
        return StoreUnreachable(f"{where}: {error}") if status_of(error) >= 500 else StoreError(f"{where}: {error}")
    return StoreUnreachable(f"{where}: {error}{_way_advice(error) or '; is the S3 endpoint right and up?'}")


def archived(url: str, storage_class: str = "") -> ObjectArchived:
    """Return the error for an object that was moved to a class that cannot be read at once."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    restore = f"aws s3api restore-object --bucket {bucket} --key {quote(key)} --restore-request Days=7"
    named = f" ({storage_class})" if storage_class else ""
    return ObjectArchived(
        f"{url} lies in an archive storage class{named} and cannot be read now; nothing is lost. "
        f"Restore it ({restore}), wait until that is done, and try again; or leave its date out"
    )


def _way_advice(error: Exception) -> str:
    if isinstance(error, SSLError):
        return "; if the server's certificate is of a CA of your own, name its PEM file by --ca-bundle or AWS_CA_BUNDLE"
    if isinstance(error, ProxyConnectionError):
        return "; are HTTPS_PROXY, HTTP_PROXY and NO_PROXY right?"
    return ""


def _known(where: str, bucket: str, error: Exception) -> StoreError | None:
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile or role"
        return StoreDenied(f"{where}: no credentials found; {advice}")
    if isinstance(error, ClientError):
        if code_of(error) == "NoSuchBucket":
            return StoreMissing(f"{where}: the bucket {bucket!r} does not exist; create it, or correct the URL")
        if code_of(error) in DENIED:
            return StoreDenied(f"{where}: access denied ({code_of(error)}); check the credentials and their rights")
    return None
