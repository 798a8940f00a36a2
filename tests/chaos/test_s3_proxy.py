"""The fault proxy does to requests what it says, and the archiver's S3 adapter calls each result by its right name."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from servers import Servers

from chaos.s3_proxy import FAULTS, S3Fault, S3Proxy
from headrace.archiver.object_store import ObjectNotFound, OutcomeUnknown, StoreUnreachable
from headrace.archiver.s3 import S3Store

pytestmark = pytest.mark.servers
ADAPTER_TRIES = 4
BODY = b"x" * 100_000


@pytest.fixture
def proxy(servers: Servers) -> Iterator[S3Proxy]:
    with S3Proxy(servers.instance.s3.listen.s3) as started:
        yield started


@pytest.fixture
def store(servers: Servers, proxy: S3Proxy) -> S3Store:
    """The adapter, through the proxy."""
    return S3Store(
        servers.store_url,
        endpoint_url=proxy.endpoint,
        aws_access_key_id=servers.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=servers.env["AWS_SECRET_ACCESS_KEY"],
        region_name=servers.env["AWS_REGION"],
    )


@pytest.mark.parametrize(
    ("name", "applied"),
    [
        ("drop-before", False),
        ("drop-after", True),
        ("late", True),
        ("503", False),
        ("500-after", True),
        ("409", False),
        ("cut-request", False),
    ],
)
def test_a_broken_write_has_an_unknown_outcome(store: S3Store, proxy: S3Proxy, name: str, applied: bool) -> None:
    """Whether the store applied a write or not: who gets no clear answer is told that the outcome is not known."""
    key = f"data/{uuid4()}"
    proxy.begin([S3Fault(name, "PUT", seconds=0.1)])
    with pytest.raises(OutcomeUnknown):
        store.put_if_absent(key, BODY)
    proxy.heal()
    if applied:
        assert store.get(key) == BODY
    else:
        with pytest.raises(ObjectNotFound):
            store.get(key)


def test_a_slow_write_is_done(store: S3Store, proxy: S3Proxy) -> None:
    """A late answer is an answer."""
    proxy.begin([S3Fault("slow", "PUT", seconds=0.2)])
    assert store.put_if_absent("data/slow", BODY)
    assert not store.put_if_absent("data/slow", BODY)


@pytest.mark.parametrize("name", [name for name, (methods, _) in FAULTS.items() if "GET" in methods])
@pytest.mark.parametrize("there", [True, False], ids=["object", "none"])
def test_a_broken_read_is_tried_again_or_says_that_the_store_is_away(
    store: S3Store, proxy: S3Proxy, name: str, there: bool
) -> None:
    """An answer that is cut short is no answer, also where it would have said that there is no such object."""
    if there:
        assert store.put_if_absent("data/read", BODY)
    proxy.begin([S3Fault(name, "GET", seconds=0.1, times=ADAPTER_TRIES)])
    for _ in range(2):
        try:
            assert store.get("data/read") == BODY
        except ObjectNotFound:
            assert not there
        except StoreUnreachable:
            continue
    proxy.heal()


def test_a_fault_comes_after_the_whole_requests_that_it_was_given(store: S3Store, proxy: S3Proxy) -> None:
    """Faults come in their order, each for its method only and after its number of requests."""
    proxy.begin([S3Fault("409", "PUT", after=1), S3Fault("drop-after", "PUT", after=0)])
    assert store.put_if_absent("data/1", BODY)
    for key in ("data/2", "data/3"):
        with pytest.raises(OutcomeUnknown):
            store.put_if_absent(key, BODY)
    assert store.put_if_absent("data/4", BODY)
    proxy.heal()
    assert not store.put_if_absent("data/3", BODY)
    assert store.put_if_absent("data/2", BODY)
