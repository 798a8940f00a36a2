"""What the checker holds against `intent` and `rewrite` entries, after docs/archive-format.md, "Rewrites".

An intent comes before the objects that it names. A rewrite ends one, adds nothing that it does not name, and puts the
very rows of the files that it takes out into the files that it adds: each record, its lineage, and whether it is late.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from .codec import Place, Row
from .topic_log import KnownFile, TopicLog, must

Content = dict[tuple[str, str], tuple[list[Row], set[Place]]]


def check_intent(key: str, log: TopicLog, entry: Mapping[str, Any], objects: Collection[str]) -> None:
    """Take an intent in: a new id, keys that nobody ever named, and none of them there yet."""
    adds = entry["details"]["adds"]
    must(bool(adds) and len(set(adds)) == len(adds), "I8", f"{key}: intends to add {adds}")
    must(entry["entry_id"] not in log.intents, "I8", f"{key}: intent {entry['entry_id']} is open already")
    must(not entry["files"] and not entry["spans"], "I8", f"{key}: an intent with files or spans")
    for name in adds:
        known = name in log.files or name in log.removed or any(name in each for each in log.intents.values())
        must(not known, "I3", f"{key}: {name} was named before")
        must(name not in objects, "I8", f"{key}: {name} was uploaded before its intent")
    log.intents[entry["entry_id"]] = adds


def check_rewrite(key: str, log: TopicLog, entry: Mapping[str, Any], added: Mapping[str, KnownFile]) -> None:
    """Take a rewrite in. `added` are its files, each held against its object already."""
    check_named(key, log, entry, added)
    must(not entry["spans"], "I2", f"{key}: a rewrite with spans")
    removes = entry["details"]["removes"]
    must(len(set(removes)) == len(removes), "I3", f"{key}: removes a file twice")
    for name in removes:
        must(name in log.files, "I3", f"{key}: removes {name}, which is not there (entry {log.removed.get(name)})")
    removed = [log.files.pop(name) for name in removes]
    log.removed.update(dict.fromkeys(removes, entry["seq"]))
    same_identities(key, removed, added.values())
    before, after = content(removed), content(added.values())
    must(before.keys() == after.keys(), "I4", f"{key}: dates {sorted(before)} become {sorted(after)}")
    for of, (rows, late) in before.items():
        lost = [row for row in rows if row not in after[of][0]]
        must(rows == after[of][0], "I4", f"{key}: rows of {of} are not the same; missing {lost}")
        must(late == after[of][1], "I11", f"{key}: late of {of} were {late}, and are {after[of][1]}")
    log.files.update(added)


def check_named(key: str, log: TopicLog, entry: Mapping[str, Any], added: Iterable[str]) -> None:
    """An entry that replaces files ends its intent, and adds only what that names."""
    adds = log.intents.pop(entry["details"]["intent"], None)
    must(adds is not None, "I8", f"{key}: its intent {entry['details']['intent']} is not open")
    for name in added:
        must(name in (adds or ()), "I8", f"{key}: adds {name}, its intent names {adds}")


def same_identities(key: str, removed: Iterable[KnownFile], added: Iterable[KnownFile]) -> None:
    """One topic id, the entry's, and one lineage a partition: a row's identity must not change."""
    lineages: dict[int, int] = {}
    topic_id: str | None = None
    for file in added:
        for partition in {row[0] for row in file.rows}:
            must(partition in file.lineages, "I10", f"{key}: does not say of which lineage partition {partition} is")
            lineages[partition] = file.lineages[partition]
        topic_id = file.topic_id
    for file in removed:
        topic_id = topic_id or file.topic_id  # an erasure of all rows adds none
        must(file.topic_id == topic_id, "I10", f"{key}: mixes topic ids {file.topic_id} and {topic_id}")
        for partition in {row[0] for row in file.rows}:
            same = file.lineages[partition] == lineages.get(partition, file.lineages[partition])
            must(same, "I10", f"{key}: mixes lineages of partition {partition}")


def content(files: Iterable[KnownFile]) -> Content:
    """Return the rows and the late ones by kind and date, rows in order."""
    found: Content = defaultdict(lambda: ([], set()))
    for file in files:
        rows, late = found[file.kind, file.dt]
        rows += file.rows
        late |= file.late
    for rows, _ in found.values():
        rows.sort(key=lambda row: row[:2])
    return dict(found)
