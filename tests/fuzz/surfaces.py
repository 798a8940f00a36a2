"""The surfaces, each with the property that holds whatever comes in. Each returns a line that says what it saw."""

import json
import os
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any
from unittest import mock

import click
from format_v1 import (
    batch_of,
    buffer,
    context,
    good_values,
    old_event,
    place,
    record,
    records_of,
    restored,
    value_of,
)
from hypothesis import given
from hypothesis import strategies as st
from small_archive import TOPIC_ID, Rec, SmallArchive, pin_value

from fuzz.mutations import damaged, damaged_json, json_values
from fuzz.running import flipped, fuzz, remember
from headrace.archiver import parquet_file
from headrace.archiver.commit_log import read_state
from headrace.archiver.config import ArchiverConfig
from headrace.archiver.flush_buffer import BuiltFile
from headrace.archiver.log_entries import Entry, Gap, LogCorrupt, LogTooNew
from headrace.archiver.log_state import LogViolation
from headrace.archiver.parquet_file import FileCorrupt, footer_bytes, footer_of, read_file
from headrace.archiver.restore import DigestMismatch, check_part, restore_records
from headrace.archiver.s3 import parse_url
from headrace.archiver.topic_decoder import TopicSettings
from headrace.cli.main import VERBS, root
from headrace.producer import EventLog

# -- Avro: frames and bodies ------------------------------------------------------------------------------------------


def avro(examples: int, number: int) -> str:
    """Any value is archived: as columns that give the very bytes back, or raw; each record once, in its place."""
    seen: Counter[str] = Counter()

    @given(st.lists(st.one_of(damaged(good_values), st.binary(max_size=40)), min_size=1, max_size=12))
    def any_value_comes_back(values: list[bytes]) -> None:
        remember(values)
        records = [record(0, at, value) for at, value in enumerate(values)]
        held = buffer()
        held.add(batch_of(records))
        files = held.build(context())
        assert restored(files) == sorted(records, key=place)
        for file in files:
            seen[file.kind] += file.rows

    fuzz(any_value_comes_back, examples, number)
    return f"{seen['data']:,} values came back through columns or raw, {seen['quarantine']:,} through quarantine"


# -- the commit log ---------------------------------------------------------------------------------------------------


def small_log() -> SmallArchive:
    """A topic's log with an entry of each kind that a log can have now."""
    made = SmallArchive()
    made.commit([Rec(p, o, pin_value(o)) for p in (0, 1) for o in range(3)])
    first = made.commit([Rec(0, o, pin_value(o)) for o in range(3, 6)], gaps={1: [Gap(3, 5, "retention")]}, ends={1: 5})
    base = Entry("seal", made.topic, made.cluster_id, "", "test:1:0", "2026-11-23T12:00:00.000000Z", topic_id=TOPIC_ID)
    made.append(replace(base, entry_id="s", details={"dt": "2026-11-23", "ends": {"0": 4, "1": 2}}))
    made.append(
        replace(base, kind="intent", entry_id="i", details={"adds": ["data/topic=pin/dt=2026-11-23/new.parquet"]})
    )
    made.expire(first.files[0].key)
    made.commit([Rec(1, 5, b"not avro")])
    return made


def log(examples: int, number: int) -> str:
    """A log with a damaged entry is refused in its own words, or reads as a log; the next entry notices the change."""
    made = small_log()
    objects = made.memory.objects
    keys = sorted(key for key in objects if key.startswith("log/"))
    good = {key: objects[key] for key in keys}
    seen: Counter[str] = Counter()

    def read_with(key: str, body: bytes) -> str:
        remember((key, body))
        objects[key] = body
        try:
            state = read_state(made.store, made.topic)
        except (LogCorrupt, LogTooNew, LogViolation) as error:
            return type(error).__name__
        finally:
            objects[key] = good[key]
        # A changed entry that still reads is one that nothing follows.
        assert body == good[key] or key == keys[-1] == keys[state.seq - 1]
        return "read"

    @given(st.sampled_from(keys), st.data())
    def a_damaged_entry(key: str, data: st.DataObject) -> None:
        if data.draw(st.booleans()):
            body = data.draw(damaged(st.just(good[key])))
        else:
            value = data.draw(damaged_json(json.loads(good[key])))
            body = (json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n").encode(
                errors="surrogatepass"
            )
        seen[read_with(key, body)] += 1

    fuzz(a_damaged_entry, examples, number)
    return ", ".join(f"{what} {count:,}" for what, count in sorted(seen.items()))


# -- configuration ----------------------------------------------------------------------------------------------------

SETTINGS_OF_A_PRODUCER = (
    *("SERVICE", "KAFKA", "TOPIC_PREFIX", "STRICT", "PII_KEYS", "KAFKA_CONFIG", "SHIP"),
    *("SPOOL_BYTES_MAX", "SPOOL_AGE_S_MAX", "SPOOL_FREE_BYTES_MIN", "SPOOL_SEGMENT_BYTES", "SPOOL_CLASSES"),
)
OPTIONS = sorted(
    {
        option
        for verb in VERBS
        if (command := root.get_command(click.Context(root), verb)) is not None
        for parameter in command.params
        for option in parameter.opts
    }
)
words = st.one_of(
    st.sampled_from(OPTIONS),
    st.sampled_from(
        ["0", "-1", "1e9", "nan", "inf", "99999999999999999999", "", "s3://b/p", "s3:///", "a:b", "stdout"]
    ),
    st.text(max_size=8),
)
variables = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
# By name, since their texts are too long to be printed.
LONG = {"<deep list>": "[" * 100_000, "<deep object>": '{"a":' * 50_000, "<long number>": "1" * 5000}
deep = st.sampled_from([*LONG, "[[1,2]]", '{"a":{}}', '{"":1}', "null", '{"acks": "all"}', '{"linger.ms": 5}'])


def config(examples: int, number: int) -> str:
    """Whatever a person writes into options, environment or JSON: it is taken, or refused as a usage error."""
    seen: Counter[str] = Counter()

    @given(st.sampled_from(sorted(VERBS)), st.lists(words, max_size=6))
    def command_line(verb: str, arguments: list[str]) -> None:
        remember((verb, arguments))
        command = root.get_command(click.Context(root), verb)
        assert command is not None
        try:
            command.make_context(verb, list(arguments), resilient_parsing=False)
        except (click.ClickException, click.exceptions.Exit, click.Abort) as error:
            seen[f"command line: {type(error).__name__}"] += 1
        else:
            seen["command line: taken"] += 1

    texts = st.one_of(variables, deep, json_values.map(json.dumps))

    @given(st.dictionaries(st.sampled_from(SETTINGS_OF_A_PRODUCER), texts))
    def environment(chosen: dict[str, str]) -> None:
        remember(chosen)
        chosen = {name: value for name, value in chosen.items() if name != "SPOOL"}  # it would make folders
        with mock.patch.dict(
            os.environ, {f"HEADRACE_{name}": LONG.get(value, value) for name, value in chosen.items()}, clear=True
        ):
            try:
                EventLog.from_env(service="web").close(timeout_s=0)
            except ValueError:
                seen["environment: refused"] += 1
            else:
                seen["environment: taken"] += 1

    @given(st.one_of(damaged_json(TopicSettings("pin").as_json()), json_values))
    def topic_settings(value: Any) -> None:
        remember(value)
        if isinstance(value, dict):
            try:
                made = TopicSettings.from_json(value)
            except (ValueError, TypeError):
                seen["topic settings: refused"] += 1
            else:
                assert ArchiverConfig.from_json(ArchiverConfig({}, "s3://b/p", (made,)).to_json()).topics == (made,)
                seen["topic settings: taken"] += 1

    @given(st.one_of(variables, variables.map(lambda text: f"s3://{text}")))
    def archive_url(text: str) -> None:
        remember(text)
        try:
            bucket, prefix = parse_url(text)
        except ValueError:
            seen["archive URL: refused"] += 1
        else:
            assert bucket
            assert not prefix.startswith("/")
            seen["archive URL: taken"] += 1

    for each in (command_line, environment, topic_settings, archive_url):
        fuzz(each, max(1, examples // 4), number)
    return ", ".join(f"{what} {count:,}" for what, count in sorted(seen.items()))


# -- Parquet files ----------------------------------------------------------------------------------------------------


def parquet(examples: int, number: int) -> str:
    """Every flipped bit of a file is noticed by its hash before anything is parsed; and nothing else is relied upon.

    Also without the hash: an error, the very same records, or others that the digest refuses. At most `examples` bits
    are flipped for that, evenly over the file, the footer's all; of `footer_of`, which has no hash to compare, each.
    """
    records = [record(p, o, value_of(b"old-----", old_event(user_id=o))) for p in (0, 1) for o in range(12)]
    held = buffer()
    held.add(batch_of(records))
    (file,) = held.build(context())
    seen: Counter[str] = Counter()
    bits = len(file.body) * 8
    footer_from = bits - 8 * footer_bytes(file.body[-8:])
    parsed = mock.Mock(side_effect=AssertionError("a file was parsed before its hash was compared"))
    with mock.patch.object(parquet_file, "_open", parsed):
        for bit in range(bits):
            try:
                read_file(flipped(file.body, bit), sha256=file.sha256, kind="data")
            except FileCorrupt:
                seen["by hash"] += 1
    assert seen["by hash"] == bits
    every = max(1, footer_from // max(1, examples // 2))
    for bit in [*range(number % every, footer_from, every), *range(footer_from, bits, max(1, every // 8))]:
        body = flipped(file.body, bit)
        remember(bit)
        seen[without_hash(file, body, records)] += 1
        try:
            footer = footer_of(body)
        except FileCorrupt:
            seen["footer refused"] += 1
        else:
            seen["footer read" if footer == footer_of(file.body) else "footer read otherwise"] += 1

    @given(damaged(st.just(file.body)))
    def any_damage(body: bytes) -> None:
        remember(body)
        seen[without_hash(file, body, records)] += 1
        with suppress(FileCorrupt):
            footer_of(body)

    fuzz(any_damage, examples // 4 + 1, number)
    return f"{bits:,} bits; " + ", ".join(f"{what} {count:,}" for what, count in sorted(seen.items()))


def without_hash(file: BuiltFile, body: bytes, records: list[dict[str, Any]]) -> str:
    """Read a damaged file as a reader would that had no hash to compare; return what noticed it."""
    found: list[dict[str, Any]] = []
    try:
        table, footer = read_file(body, sha256=None, kind="data")
        for part in file.parts:
            batch = restore_records(table.slice(part.row_start, part.rows), footer)
            check_part(batch, part)
            found += records_of(batch)
    except FileCorrupt:
        return "by the file"
    except DigestMismatch:
        return "by digest"
    assert sorted(found, key=place) == sorted(records, key=place), "other records passed every check"
    return "the same records"
