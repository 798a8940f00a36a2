"""Surfaces of what is derived from a log, or points into it: folds and named checkpoints."""

import json
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fuzz.mutations import damaged, damaged_json
from fuzz.running import flipped, fuzz, remember
from fuzz.surfaces import small_log
from headrace.archiver.fold_file import FoldUnusable, fold_key, read_fold
from headrace.archiver.folds import make_folds
from headrace.archiver.log_reading import read_state
from headrace.archiver.log_state import LogState
from headrace.archiver.named_checkpoint import (
    CheckpointCorrupt,
    check_against_log,
    checkpoint_key,
    create_checkpoint,
    read_checkpoint,
)

FOLD_ENTRIES = 3  # instead of a thousand


def folds(examples: int, number: int) -> str:
    """A damaged fold is noticed, and the log read without it: nobody ever sees a state that the entries do not say."""
    made = small_log()
    list(make_folds(made.memory, made.topic, fold_entries=FOLD_ENTRIES))
    key = fold_key(made.topic, FOLD_ENTRIES)
    good = made.memory.objects[key]
    same = read_fold(good).digest
    by_entries = essence(read_state(made.memory, made.topic, fold_entries=1000))
    assert essence(read_state(made.memory, made.topic, fold_entries=FOLD_ENTRIES)) == by_entries
    seen: Counter[str] = Counter()

    def look_at(body: bytes) -> None:
        remember(body)
        try:
            fold = read_fold(body)
        except FoldUnusable:
            seen["refused"] += 1
        else:
            assert fold.digest == same, "a damaged fold reads as another one"
            fold.state()
            seen["the same fold"] += 1

    bits = len(good) * 8
    every = max(1, bits // max(1, examples))
    for bit in range(number % every, bits, every):
        look_at(flipped(good, bit))

    @given(damaged(st.just(good)))
    def any_damage(body: bytes) -> None:
        look_at(body)
        made.memory.objects[key] = body
        try:
            assert essence(read_state(made.memory, made.topic, fold_entries=FOLD_ENTRIES)) == by_entries
        finally:
            made.memory.objects[key] = good

    fuzz(any_damage, examples, number)
    return f"{bits:,} bits, every {every}.: " + ", ".join(f"{what} {count:,}" for what, count in sorted(seen.items()))


def essence(state: LogState) -> tuple[Any, ...]:
    """What a state says, however it came about."""
    files = {key: (each.file, each.seq, each.topic_id) for key, each in state.files.items()}
    return state.seq, state.head_sha256, state.topic_id, dict(state.identities), files, dict(state.sealed)


def checkpoints(examples: int, number: int) -> str:
    """A changed checkpoint is refused, or is the very same one."""
    made = small_log()
    same = create_checkpoint(made.memory, "c", [made.topic], writer="test:1:0", at="2026-11-23T12:00:00.000000Z")
    key = checkpoint_key("c")
    good = made.memory.objects[key]
    seen: Counter[str] = Counter()

    @given(st.data())
    def any_damage(data: st.DataObject) -> None:
        if data.draw(st.booleans()):
            body = data.draw(damaged(st.just(good)))
        else:
            value = data.draw(damaged_json(json.loads(good)))
            text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            body = (text + "\n").encode(errors="surrogatepass")
        remember(body)
        made.memory.objects[key] = body
        try:
            found = read_checkpoint(made.memory, "c")
            for topic in found.topics.values():
                check_against_log(made.memory, topic)
        except CheckpointCorrupt:
            seen["refused"] += 1
        else:
            # A writer's name, a time and positions are not in the log's head: what can be read there is what is there.
            assert body == good or found != same
            seen["the same one" if found == same else "another one, in the form of a checkpoint"] += 1

    try:
        fuzz(any_damage, examples, number)
    finally:
        made.memory.objects[key] = good
    return ", ".join(f"{what} {count:,}" for what, count in sorted(seen.items()))
