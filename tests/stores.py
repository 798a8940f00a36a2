"""The archiver's S3 store on a test session's server."""

from localstack_server import LocalStack
from servers import Servers

from headrace.archiver.s3 import S3Store


def s3_store(servers: Servers | LocalStack, url: str | None = None) -> S3Store:
    """Return a store at `url`, or at a prefix of its own."""
    return S3Store(
        url or servers.store_url,
        endpoint_url=servers.env["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=servers.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=servers.env["AWS_SECRET_ACCESS_KEY"],
        region_name=servers.env["AWS_REGION"],
    )
