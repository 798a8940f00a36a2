"""The answers of S3 as boto3 gives them, which the simulated client imitates: codes, statuses, ranges, pages."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from localstack_server import WANTED, LocalStack
from servers import Servers
from simulation.scheduler import Scheduler
from simulation.store import Bucket, Client


class Place:
    """A client, and where it may write."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self.client = client
        self._bucket = bucket
        self._prefix = prefix

    def call(self, name: str, key: str, **more: Any) -> Any:
        return getattr(self.client, name)(Bucket=self._bucket, Key=f"{self._prefix}/{key}", **more)

    def refusal(self, name: str, key: str, **more: Any) -> tuple[str, int]:
        """Return the code and the status with which a call is refused."""
        with pytest.raises(ClientError) as refused:
            self.call(name, key, **more)
        answer: Any = refused.value.response
        return str(answer["Error"]["Code"]), int(answer["ResponseMetadata"]["HTTPStatusCode"])

    def pages(self) -> list[dict[str, Any]]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=f"{self._prefix}/")
        return list(pages)


KINDS = ["simulated", pytest.param("real", marks=pytest.mark.servers), *(["localstack"] if WANTED else [])]


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest) -> Place:
    """An empty place of each kind."""
    if request.param == "simulated":
        return Place(Client(Bucket(Scheduler(1))), "b", "p")
    server: Servers | LocalStack = request.getfixturevalue("localstack" if request.param == "localstack" else "servers")
    return Place(server.s3(), server.bucket, server.new_prefix())


def test_a_second_create_is_a_412(place: Place) -> None:
    """If-None-Match refuses what exists with PreconditionFailed, and without it the object is written anew."""
    place.call("put_object", "a", Body=b"1", IfNoneMatch="*")
    assert place.refusal("put_object", "a", Body=b"2", IfNoneMatch="*") == ("PreconditionFailed", 412)
    place.call("put_object", "a", Body=b"3")
    assert place.call("get_object", "a")["Body"].read() == b"3"


def test_what_is_not_there(place: Place) -> None:
    """A GET is refused with NoSuchKey, a HEAD with the bare number; a DELETE is no error."""
    assert place.refusal("get_object", "none") == ("NoSuchKey", 404)
    assert place.refusal("head_object", "none") == ("404", 404)
    place.call("delete_object", "none")


def test_a_range_from_the_end(place: Place) -> None:
    """The last bytes are announced with their own length; more than there is gives the whole object."""
    place.call("put_object", "a", Body=b"0123456789")
    for asked, body in ((4, b"6789"), (100, b"0123456789")):
        answer = place.call("get_object", "a", Range=f"bytes=-{asked}")
        assert (answer["ContentLength"], answer["Body"].read()) == (len(body), body)
    assert place.call("head_object", "a")["ContentLength"] == 10


def test_pages_of_a_listing(place: Place) -> None:
    """Pages follow each other in key order; a page without objects has no Contents."""
    assert [page.get("Contents") for page in place.pages()] == [None]
    for number in range(7):
        place.call("put_object", f"k{number}", Body=b"x")
    listed = [item for page in place.pages() for item in page.get("Contents", [])]
    assert [(item["Key"].split("/")[-1], item["Size"]) for item in listed] == [(f"k{number}", 1) for number in range(7)]
