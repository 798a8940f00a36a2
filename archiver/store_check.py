"""Finds out whether an S3 server does what exactness rests on, by trying it: `headrace store check`.

probe.py is the short form, at every start of an archiver. Here each promise is tried on its own, so that a store that
is no good can be told by what it does wrong. All is written below one scratch prefix and removed again, whatever comes.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import ClientError

from .object_store import ObjectNotFound, StoreError
from .s3 import S3Store
from .s3_errors import NO_ANSWER, code_of, status_of

Result = Literal["ok", "wrong", "unknown"]
Needed = Literal["exactness", "upkeep", "nothing"]


class Wrong(Exception):
    """The store does something else than it must; the text says what was seen."""


class Unanswered(Exception):
    """The store did not say clearly enough to judge it: no answer, a right that is missing, an error of its own."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the store said: an HTTP status, S3's code (empty where all went well), and the body of a read."""

    status: int
    code: str = ""
    body: bytes = b""
    headers: dict[str, Any] | None = None

    def __str__(self) -> str:
        return f"{self.status} {self.code}".strip()


@dataclass(frozen=True, slots=True)
class Check:
    """One promise. `needed`: what for. Only a store that keeps all that exactness needs is fit; the rest is told.

    `run` raises Wrong or Unanswered, or returns what was seen. `advice` is for who finds it broken.
    """

    name: str
    needed: Needed
    promise: str
    advice: str
    run: Callable[["Scratch"], str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check found: `seen` for people."""

    check: Check
    result: Result
    seen: str


@dataclass(frozen=True, slots=True)
class StoreReport:
    """All outcomes. `left`: keys of the check's own objects that could not be removed."""

    store: str
    endpoint: str
    outcomes: tuple[Outcome, ...]
    left: tuple[str, ...]

    def found(self, result: Result, needed: Needed = "exactness") -> list[Outcome]:
        """Return the outcomes that came out so, of what is needed for that."""
        return [each for each in self.outcomes if each.check.needed == needed and each.result == result]

    @property
    def fit(self) -> bool:
        """Whether all that exactness needs was found as it must be."""
        return not self.found("wrong") and not self.found("unknown")


class Scratch:
    """The one place that the check writes to, and requests as plain as S3's own. Thread-safe, but for close()."""

    def __init__(self, store: S3Store, scratch_id: str) -> None:
        self.store = store
        self.prefix = f"probe/check-{scratch_id}/"
        self._s3 = store.raw
        self._written: dict[str, None] = {}

    def put(self, name: str, body: bytes, **more: Any) -> Answer:
        """Put an object, without retries; `more` are S3's own arguments."""
        self._written[name] = None
        return self._ask(
            lambda: self._s3.writer.put_object(
                **{**self._s3.each, **self._s3.each_put, "Key": self._key(name), "Body": body, **more}
            )
        )

    def get(self, name: str, **more: Any) -> Answer:
        """Get an object, or a range of it."""
        return self._ask(lambda: self._s3.reader.get_object(**{**self._s3.each, "Key": self._key(name), **more}))

    def head(self, name: str) -> Answer:
        """Look at an object."""
        return self._ask(lambda: self._s3.reader.head_object(**{**self._s3.each, "Key": self._key(name)}))

    def delete(self, name: str) -> Answer:
        """Remove an object."""
        return self._ask(lambda: self._s3.writer.delete_object(**{**self._s3.each, "Key": self._key(name)}))

    def get_as_stranger(self, name: str) -> Answer:
        """Get an object with a key pair that the store cannot know."""
        stranger = self._s3.stranger()
        return self._ask(lambda: stranger.get_object(**{**self._s3.each, "Key": self._key(name)}))

    def complete_in_parts(self, name: str, body: bytes, **more: Any) -> Answer:
        """Upload an object in one part, and complete it with `more`; what is not completed is aborted."""
        where = {**self._s3.each, "Key": self._key(name)}
        upload: dict[str, Any] = {}

        def whole() -> Any:
            started = self._s3.writer.create_multipart_upload(**{**where, **self._s3.each_put})
            upload.update(where, UploadId=started["UploadId"])
            part = self._s3.writer.upload_part(**upload, PartNumber=1, Body=body)
            parts: Any = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
            done = self._s3.writer.complete_multipart_upload(**upload, MultipartUpload=parts, **more)
            upload.clear()
            return done

        try:
            return self._ask(whole)
        finally:
            if upload:
                with contextlib.suppress(ClientError, *NO_ANSWER):
                    self._s3.writer.abort_multipart_upload(**upload)

    def listed(self, below: str, *, page: int, folders: bool = False) -> list[str]:
        """Return the names (or the folders) below a name, in the order of the listing, by pages of so many."""
        prefix = self._key(below)
        more = {"Delimiter": "/"} if folders else {}
        pages = self._s3.reader.get_paginator("list_objects_v2").paginate(
            **{**self._s3.each, "Prefix": prefix, **more, "PaginationConfig": {"PageSize": page}}
        )
        field, name = ("CommonPrefixes", "Prefix") if folders else ("Contents", "Key")
        cut = len(self._key(""))
        try:
            return [each[name][cut:] for found in pages for each in found.get(field, [])]  # type: ignore[attr-defined]
        except ClientError as error:
            raise Unanswered(f"a listing was refused: {status_of(error)} {code_of(error)}") from error
        except NO_ANSWER as error:
            raise Unanswered(f"a listing got no answer: {error}") from error

    def close(self) -> tuple[str, ...]:
        """Remove all that was written, by name; return the keys of what stays, or may stay."""
        return tuple(self.prefix + name for name in self._written if not self._is_removed(name))

    def _is_removed(self, name: str) -> bool:
        try:
            self.delete(name)
            return self.head(name).status == 404  # a refused PUT left nothing, whatever its DELETE is answered
        except Unanswered:
            return False

    def _key(self, name: str) -> str:
        return f"{self._s3.root}{self.prefix}{name}"

    @staticmethod
    def _ask(call: Callable[[], Any]) -> Answer:
        try:
            found = call()
            body = found["Body"].read() if "Body" in found else b""
        except ClientError as error:
            status = status_of(error)
            if status >= 500:
                raise Unanswered(f"the store answered {status} {code_of(error)}") from error
            return Answer(status, code_of(error))
        except NO_ANSWER as error:
            raise Unanswered(f"no answer: {error}") from error
        return Answer(int(found["ResponseMetadata"]["HTTPStatusCode"]), "", body, dict(found))


@contextlib.contextmanager
def scratch(store: S3Store, scratch_id: str, left: list[str]) -> Iterator[Scratch]:
    """Yield a scratch prefix, emptied when the block ends, however it ends; `left` gets the keys of what stays."""
    made = Scratch(store, scratch_id)
    try:
        yield made
    finally:
        left += made.close()


def check_all(
    store: S3Store,
    scratch_id: str,
    checks: Sequence[Check],
    *,
    left: list[str],
    on_outcome: Callable[[Outcome], None] = lambda _outcome: None,
) -> StoreReport:
    """Run the checks one after the other and return what was found.

    `scratch_id` must be new for each call. `left` is filled also when it is interrupted. Raises StoreError when the
    bucket cannot be reached at all, before anything is written.
    """
    # A missing bucket is made by some stores when an object is put: only a read tells that it is not there.
    with contextlib.suppress(ObjectNotFound):
        store.get(f"probe/check-{scratch_id}/nothing")
    outcomes = []
    with scratch(store, scratch_id, left) as place:
        for check in checks:
            outcome = _run(check, place)
            on_outcome(outcome)
            outcomes.append(outcome)
    return StoreReport(store.url, store.endpoint, tuple(outcomes), tuple(left))


def _run(check: Check, place: Scratch) -> Outcome:
    try:
        return Outcome(check, "ok", check.run(place))
    except Wrong as wrong:
        return Outcome(check, "wrong", str(wrong))
    except (Unanswered, StoreError) as error:
        return Outcome(check, "unknown", str(error))
