"""No name leads out of an archive's prefix, nor out of a local folder: not a topic's, not one that an entry holds."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_archive import Rec, SmallArchive, pin_value

from headrace.archiver.garbage import judge
from headrace.archiver.log_entries import LogCorrupt, decode, log_key
from headrace.archiver.log_state import LogState
from headrace.archiver.memory_store import MemoryStore
from headrace.archiver.object_key import KeyRefused, stays_below
from headrace.archiver.object_store import ObjectInfo, ObjectStore, StoreError
from headrace.archiver.s3 import S3Store
from headrace.archiver.sealing import marker_key
from headrace.producer.spool.ownership import service_folder
from headrace.replay.fsspec_store import FsspecStore

PIECES = st.sampled_from(["..", ".", "/", "\\", "\0", "\n", "\x1b[2J", "a", "topic=", "%2e", "\u202e", "пин", " "])
NAMES = st.one_of(st.text(max_size=12), st.lists(PIECES, max_size=8).map("".join))


class _Sent(Exception):
    """What would have gone out, and did not."""


@pytest.fixture(scope="module")
def sent() -> Any:
    """Return what asks boto3 for an object of a store, and gives the path of the request instead of sending it."""

    def refuse(request: Any, **_: Any) -> None:
        raise _Sent(urlsplit(request.url).path)

    keys: dict[str, Any] = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    store = S3Store("s3://bucket/pre/fix", endpoint_url="http://127.0.0.1:1", **keys)
    for client in (store._reader, store._writer):
        client.meta.events.register("before-send.s3", refuse)

    def ask(key: str) -> list[str]:
        paths = []
        for call in (
            lambda: store.get(key), lambda: store.size(key), lambda: store.put(key, b""), lambda: store.delete([key]),
            lambda: store.put_if_absent(key, b""), lambda: store.get_tail(key, 1), lambda: store.get_many([key]),
        ):  # fmt: skip
            try:
                call()
            except _Sent as request:
                paths.append(str(request))
            except KeyRefused:
                pass
        return paths

    return ask


@settings(deadline=None, max_examples=60)
@given(topic=NAMES)
def test_no_topic_leads_out_of_the_prefix(topic: str, sent: Any) -> None:
    """Whatever a topic is called, each request for its log, folds and markers is below the prefix, or is not sent."""
    for key in (log_key(topic, 1), marker_key(topic, "2026-11-23"), topic):
        for path in sent(key):
            inside = unquote(path).split("/")
            assert inside[:4] == ["", "bucket", "pre", "fix"]
            assert ".." not in inside
            assert "." not in inside


@settings(deadline=None, max_examples=60)
@given(key=NAMES)
def test_no_key_leads_out_of_a_local_folder(key: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An archive in a folder: what lies beside the folder cannot be read through it."""
    if not hasattr(test_no_key_leads_out_of_a_local_folder, "root"):
        root = tmp_path_factory.mktemp("outside")
        (root / "archive").mkdir()
        (root / "a").write_bytes(b"secret")
        test_no_key_leads_out_of_a_local_folder.root = root  # type: ignore[attr-defined]
    root = test_no_key_leads_out_of_a_local_folder.root  # type: ignore[attr-defined]
    store = FsspecStore(str(root / "archive"))
    for each in (key, f"../{key}", f"log/topic={key}/../../../a", f"x/../../{key}"):
        with pytest.raises((StoreError, ValueError)):
            store.get(each)
    with pytest.raises(KeyRefused):
        store.get("../a")
    with pytest.raises(KeyRefused):
        list(store.list("../"))


@settings(deadline=None, max_examples=60)
@given(service=NAMES)
def test_no_service_leads_out_of_its_spool(service: str) -> None:
    """A service's folder is one folder, right below the spool."""
    folder = service_folder(Path("/spool"), service)
    if service:
        assert folder.parent == Path("/spool")
        assert folder.name not in ("", ".", "..")
        assert not folder.name.startswith(".")
        assert folder.name.isprintable()


def an_entry() -> dict[str, Any]:
    small = SmallArchive()
    small.commit([Rec(0, 0, pin_value(0))])
    found: dict[str, Any] = json.loads(small.store.get(log_key("pin", 1)))
    return found


ENTRY = an_entry()


@settings(deadline=None, max_examples=60)
@given(name=NAMES, field=st.sampled_from(["dt", "key"]))
def test_what_an_entry_calls_its_files_is_harmless_or_refused(name: str, field: str) -> None:
    """Dates become folders' names and keys lines of a list: those that could do harm make the entry a damaged one."""
    entry = json.loads(json.dumps(ENTRY))
    entry["files"][0][field] = name
    try:
        found = decode(json.dumps(entry).encode(), "log/1").files[0]
    except LogCorrupt:
        return
    assert stays_below(found.key)
    assert found.key.isprintable()
    assert (Path("/out") / f"dt={found.dt}").parent == Path("/out")


def test_a_strangers_object_is_not_looked_into() -> None:
    """One whose name leads elsewhere is reported by gc as unreadable; the store is not asked for it."""
    info = ObjectInfo("data/topic=pin/../../x.parquet", 5)
    never = cast("ObjectStore", SimpleNamespace())
    (found,) = judge(never, LogState("pin"), [info])
    assert (found.verdict, "lead out" in found.why) == ("unreadable", True)


@pytest.mark.parametrize("key", ["../x", "a/../x", "a/./x", "/x", "a//x", "a\\..\\x", "a\0b"])
def test_the_memory_store_refuses_the_same(key: str) -> None:
    """The fake is as strict as the real one."""
    store = MemoryStore()
    for call in (store.get, lambda each: store.put(each, b""), lambda each: store.delete([each])):
        with pytest.raises(KeyRefused, match="could lead out of it"):
            call(key)
