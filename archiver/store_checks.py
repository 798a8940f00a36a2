"""The promises that `headrace store check` tries, one by one, and what to do about a store that breaks one."""

import base64
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

from .store_check import Answer, Check, Scratch, Unanswered, Wrong

WRITERS = 16
RACES = 10
RACE_WAIT_S = 30.0
ROUNDS = 8
PAGE_KEYS = 5
LISTED_KEYS = 17
LARGE_BYTES = 9_000_001
_OTHER_STORE = (
    "do not archive to this store. AWS S3, SeaweedFS 4.48 and LocalStack 4.7 keep the promise; if this is one of them, "
    "look for a proxy or cache in between"
)


def checks(*, races: int = RACES, sse: str | None = None) -> list[Check]:
    """Return all checks in their order. `races`: how many. `sse`: the encryption that is asked for with each object."""
    encrypted = [
        Check(
            "encryption",
            "exactness",
            f"an object is encrypted as asked ({sse}), and the store says so",
            "the key may be missing, disabled or not this role's: it needs kms:GenerateDataKey and kms:Decrypt",
            lambda place: _encryption(place, sse or ""),
        )
    ]
    return [
        Check(
            "create",
            "exactness",
            "a create with If-None-Match: * is refused with 412 where the key exists, and changes nothing",
            _OTHER_STORE,
            _create,
        ),
        Check(
            "race",
            "exactness",
            f"of {WRITERS} creates at the same moment one wins, and its bytes stay",
            _OTHER_STORE,
            lambda place: _race(place, races),
        ),
        Check(
            "checksum",
            "exactness",
            "a PUT whose SHA-256 does not fit its bytes is refused, and nothing is kept",
            "bytes that are damaged on their way would be kept, and found only when they are read: use TLS all the "
            "way, or a store that checks x-amz-checksum-sha256",
            _checksum,
        ),
        Check(
            "read-after-write",
            "exactness",
            "what was written is read at once: after a 404, and after it was overwritten",
            "the log is read on until a 404, which must be the truth: let no cache lie in between, and read from no "
            "copies that lag behind",
            _read_after_write,
        ),
        Check(
            "bytes",
            "exactness",
            "empty and large objects come back byte for byte, with their size",
            "a proxy or gateway in between may change or cut bodies: look for what compresses or limits them",
            _bytes,
        ),
        Check(
            "ranges",
            "exactness",
            "ranges from the start, within, and from the end; more than there is gives the whole",
            "footers are read by ranges from the end: use a store that knows `Range: bytes=-N`",
            _ranges,
        ),
        Check(
            "missing",
            "exactness",
            "what is not there is a 404 with NoSuchKey, to a HEAD a 404; deleting it is no error",
            "on AWS a 403 instead means that the role lacks s3:ListBucket for the bucket",
            _missing,
        ),
        Check(
            "delete",
            "upkeep",
            "what was deleted is gone at once, from reads and listings, and can be created again",
            "on a store that lags behind, `headrace gc` and the archiver's cleaning see what is gone already",
            _delete,
        ),
        Check(
            "listing",
            "upkeep",
            "a listing has at once all that was written and nothing else, in key order, over pages",
            "archiving and replaying go by keys, so that nothing is lost; but `headrace gc`, the archiver's cleaning "
            "and verify's search for strays would see less than there is",
            _listing,
        ),
        Check(
            "if-match",
            "nothing",
            "a PUT with If-Match is refused with 412 when the ETag is another one",
            "nothing: headrace does not use it",
            _if_match,
        ),
        Check(
            "multipart",
            "nothing",
            "CompleteMultipartUpload with If-None-Match: * is refused where the key exists",
            "nothing: headrace writes each object in one PUT",
            _multipart,
        ),
        Check(
            "signature",
            "nothing",
            "a request of somebody whom it cannot know is refused",
            "whoever reaches the store can read and write all of it: let nobody else reach it",
            _signature,
        ),
        *(encrypted if sse is not None else []),
    ]


def _expect(what: str, found: Answer, *wanted: tuple[int, str]) -> None:
    """Raise Wrong unless the answer is one of those wanted; a code of "" fits every one."""
    if not any(found.status == status and code in ("", found.code) for status, code in wanted):
        raise Wrong(f"{what}: answered {found}, expected {' or '.join(f'{s} {c}'.strip() for s, c in wanted)}")


def _written(place: Scratch, name: str, body: bytes) -> None:
    found = place.put(name, body)
    if found.status != 200:
        raise Unanswered(f"a plain PUT was refused: {found}")


def _same(what: str, found: Answer, body: bytes) -> None:
    _expect(what, found, (200, ""))
    if found.body != body:
        raise Wrong(f"{what}: {len(found.body)} bytes that are not the {len(body)} that were written")


def _create(place: Scratch) -> str:
    first = place.put("create", b"first", IfNoneMatch="*")
    if first.status != 200:
        raise Wrong(f"a first create: answered {first}, expected 200")
    again = place.put("create", b"second", IfNoneMatch="*")
    _expect("a second create", again, (412, "PreconditionFailed"))
    _same("after a refused create", place.get("create"), b"first")
    return "200, then 412 PreconditionFailed; the first bytes stayed"


def _race(place: Scratch, races: int) -> str:
    contended = 0
    with ThreadPoolExecutor(WRITERS, thread_name_prefix="headrace-race") as pool:
        for number in range(races):
            name = f"race-{number}"
            contended += _one_race(place, pool, name, 1)
            if number == 0:
                contended += _one_race(place, pool, name, 0)  # the key exists by now
    busy = f"; {contended} answered 409" if contended else ""
    return f"{races} of {races} races had one winner, and one on a key that existed had none{busy}"


def _one_race(place: Scratch, pool: ThreadPoolExecutor, name: str, winners: int) -> int:
    start = threading.Barrier(WRITERS, timeout=RACE_WAIT_S)
    before = b"" if winners else place.get(name).body

    def create(number: int) -> Answer:
        start.wait()
        return place.put(name, b"writer %d" % number, IfNoneMatch="*")

    try:
        found = list(pool.map(create, range(WRITERS)))
    except BaseException:
        start.abort()  # else those that wait for the rest would keep the pool, and so the end, waiting
        raise
    for each in found:
        _expect("a racing create", each, (200, ""), (412, "PreconditionFailed"), (409, ""))
    won = [number for number, each in enumerate(found) if each.status == 200]
    if len(won) != winners:
        raise Wrong(f"{len(won)} of {WRITERS} racing creates of one key succeeded, expected {winners}")
    _same("after a race", place.get(name), b"writer %d" % won[0] if winners else before)
    return sum(each.status == 409 for each in found)


def _checksum(place: Scratch) -> str:
    right, wrong = (base64.b64encode(hashlib.sha256(text).digest()).decode() for text in (b"bytes", b"others"))
    accepted = place.put("checksum-right", b"bytes", ChecksumSHA256=right)
    _expect("a PUT with the right SHA-256", accepted, (200, ""))
    found = place.put("checksum", b"bytes", ChecksumSHA256=wrong)
    if not 400 <= found.status < 500:
        raise Wrong(f"a PUT with another object's SHA-256: answered {found}, expected 400 BadDigest")
    _expect("after a refused PUT", place.get("checksum"), (404, ""))
    return f"refused with {found}, and nothing was kept"


def _read_after_write(place: Scratch) -> str:
    for number in range(ROUNDS):
        name, body = f"fresh-{number}", b"fresh %d" % number
        _expect("before it was written", place.get(name), (404, ""))
        _written(place, name, body)
        _same("just written", place.get(name), body)
        _written(place, name, body + b" again")
        _same("just overwritten", place.get(name), body + b" again")
    return f"{ROUNDS} keys: 404, then what was written, then what was written over it"


def _bytes(place: Scratch) -> str:
    body = hashlib.shake_256(b"headrace").digest(LARGE_BYTES)
    for name, each in (("empty", b""), ("large", body)):
        _written(place, name, each)
        _same(f"the {name} object", place.get(name), each)
        size = (place.head(name).headers or {}).get("ContentLength")
        if size != len(each):
            raise Wrong(f"HEAD of the {name} object says {size} bytes, expected {len(each)}")
    return f"0 and {LARGE_BYTES:,} bytes"


def _ranges(place: Scratch) -> str:
    _written(place, "range", b"0123456789")
    for asked, body in (("-4", b"6789"), ("-100", b"0123456789"), ("2-5", b"2345"), ("7-", b"789")):
        found = place.get("range", Range=f"bytes={asked}")
        if found.status not in (200, 206) or found.body != body:
            raise Wrong(f"bytes={asked} of 0123456789 gave {found} with {found.body[:20]!r}, expected {body!r}")
    return "bytes=-4, -100, 2-5 and 7- of ten bytes"


def _missing(place: Scratch) -> str:
    _expect("a GET of what is not there", place.get("nothing"), (404, "NoSuchKey"))
    _expect("a HEAD of what is not there", place.head("nothing"), (404, ""))
    _expect("a DELETE of what is not there", place.delete("nothing"), (204, ""), (200, ""))
    return "404 NoSuchKey, 404, and a DELETE that is no error"


def _delete(place: Scratch) -> str:
    _written(place, "gone/it", b"1")
    _expect("a DELETE", place.delete("gone/it"), (204, ""), (200, ""))
    _expect("after a DELETE", place.get("gone/it"), (404, "NoSuchKey"))
    if listed := place.listed("gone/", page=PAGE_KEYS):
        raise Wrong(f"after a DELETE a listing still has {', '.join(listed)}")
    _expect("a create after a DELETE", place.put("gone/it", b"2", IfNoneMatch="*"), (200, ""))
    return "gone from reads and listings; a create afterwards succeeds"


def _listing(place: Scratch) -> str:
    folder = "list/topic=a.b-c_d/"
    names = [f"{folder}{number:020}.json" for number in range(LISTED_KEYS)]
    for name in (*reversed(names), "list/topic=a.b-c_d2/1"):
        _written(place, name, b"x")
    found = place.listed(folder, page=PAGE_KEYS)
    if found != names:
        missing, strange = set(names) - set(found), set(found) - set(names)
        if missing or strange:
            what = f"{len(missing)} of {LISTED_KEYS} objects missing, {len(strange)} that are not below it"
        else:
            what = "all objects, but not in key order or not once each"
        raise Wrong(f"a listing by pages of {PAGE_KEYS} has {what}")
    folders = place.listed("list/", page=PAGE_KEYS, folders=True)
    if folders != [folder, "list/topic=a.b-c_d2/"]:
        raise Wrong(f"a listing of folders has {', '.join(folders) or 'none'}, expected two")
    return f"{LISTED_KEYS} objects by pages of {PAGE_KEYS}, and two folders"


def _if_match(place: Scratch) -> str:
    _written(place, "match", b"1")
    etag = str((place.head("match").headers or {}).get("ETag"))
    refused = place.put("match", b"2", IfMatch='"00000000000000000000000000000000"')
    _expect("a PUT with another ETag", refused, (412, "PreconditionFailed"))
    _same("after it was refused", place.get("match"), b"1")
    _expect("a PUT with the object's own ETag", place.put("match", b"3", IfMatch=etag), (200, ""))
    return "412 for another ETag, 200 for the object's own"


def _multipart(place: Scratch) -> str:
    _written(place, "parts", b"first")
    found = place.complete_in_parts("parts", b"second", IfNoneMatch="*")
    _expect("completing an upload onto an object", found, (412, "PreconditionFailed"))
    _same("after it was refused", place.get("parts"), b"first")
    return "412 PreconditionFailed; the first bytes stayed"


def _signature(place: Scratch) -> str:
    _written(place, "signed", b"1")
    found = place.get_as_stranger("signed")
    _expect("a GET with a made-up key pair", found, (403, ""), (401, ""))
    return f"refused with {found}"


def _encryption(place: Scratch, sse: str) -> str:
    found = place.put("encrypted", b"1")
    _expect("an encrypted PUT", found, (200, ""))
    said = (place.head("encrypted").headers or {}).get("ServerSideEncryption")
    if said != sse:
        raise Wrong(f"the store says that the object is encrypted by {said or 'nothing'}, expected {sse}")
    return f"the store says {said}"
