"""Proves at every start that a store keeps the one promise that exactness rests on: atomic create-if-absent.

Some S3 look-alikes ignore If-None-Match and let every writer win. Such a store is refused before anything is read from
Kafka. The probe's object lies under `probe/`, outside of all that readers look at, and is removed again.
"""

import contextlib

from .object_store import ObjectNotFound, ObjectStore, OutcomeUnknown, StoreError, StoreUnfit

PROBE_ATTEMPTS = 5


def check_store(store: ObjectStore, probe_id: str) -> None:
    """Create one object twice: the second time must be refused, and the first bytes must stay.

    `probe_id` must be new for each call. Raises StoreUnfit when the promise is broken, and StoreError as the store
    itself answers (wrong credentials, missing bucket, no connection).
    """
    key = f"probe/{probe_id}"
    first, second = b"headrace probe: first\n", b"headrace probe: second\n"
    # Some stores make a bucket that is missing when an object is put: only a read tells that it is not there.
    with contextlib.suppress(ObjectNotFound):
        store.get(key)
    if not _create(store, key, first) and store.get(key) != first:
        raise StoreUnfit(f"{store.url}: a new probe object was reported as existing; the store answers inconsistently")
    again = _create(store, key, second)
    kept = store.get(key)
    store.delete([key])
    if again or kept != first:
        message = (
            f"{store.url} does not honour If-None-Match: a second create of the same object "
            f"{'succeeded' if again else 'changed it'}. Records could be lost or doubled here, so headrace refuses to "
            "archive to this store. Use AWS S3, MinIO, SeaweedFS 3.60 or later, or LocalStack 4 or later."
        )
        raise StoreUnfit(message)


def _create(store: ObjectStore, key: str, body: bytes) -> bool:
    for attempt in range(PROBE_ATTEMPTS):
        try:
            return store.put_if_absent(key, body)
        except OutcomeUnknown as error:
            if attempt == PROBE_ATTEMPTS - 1:
                raise StoreError(
                    f"probing the store: no clear answer in {PROBE_ATTEMPTS} tries; last: {error}"
                ) from error
    raise AssertionError("unreachable")
