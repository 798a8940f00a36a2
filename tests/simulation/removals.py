"""What the checker holds against `erase` and `expire` entries, after docs/archive-format.md, "Erasures" and "Expiry".

Rows leave the archive by such an entry alone, and it says which: erased ones by their offsets, expired ones by their
files and how many rows of which identity these have. All others stay, each with its record and whether it is late.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from .codec import Place, Row
from .rewrites import check_named, content, same_identities
from .topic_log import KnownFile, TopicLog, must


def check_erase(key: str, log: TopicLog, entry: Mapping[str, Any], added: Mapping[str, KnownFile]) -> None:
    """Take an erasure in. `added` are its files, each held against its object already."""
    details = entry["details"]
    must(not entry["spans"], "I2", f"{key}: an erasure with spans")
    must(bool(details["erased"]), "I4", f"{key}: an erasure of nothing")
    if details.get("intent"):
        check_named(key, log, entry, added)
    else:
        must(not added, "I8", f"{key}: adds files without an intent")
    removed = take_out(key, log, entry)
    same_identities(key, removed, added.values())
    before, after = content(removed), content(added.values())
    gone = _erased(key, entry)
    for of, (rows, late) in before.items():
        kept = after.get(of, ([], set()))
        went = gone.pop(of, set())
        wanted = [row for row in rows if row[:2] not in went]
        must(wanted == kept[0], "I4", f"{key}: of {of} {rows} become {kept[0]}, erased are {sorted(went)}")
        must(went <= {row[:2] for row in rows}, "I4", f"{key}: erases of {of} what is not there: {sorted(went)}")
        must(late - went == kept[1], "I11", f"{key}: late of {of} were {late}, and are {kept[1]}")
    must(not gone and after.keys() <= before.keys(), "I4", f"{key}: erases or adds {gone} {sorted(after)}")
    for file in removed:
        for row in file.rows:
            if any(row[:2] in each for each in _erased(key, entry).values()):
                log.take_row_out(file, row, entry["seq"])
    log.files.update(added)


def check_expire(key: str, log: TopicLog, entry: Mapping[str, Any]) -> None:
    """Take an expiry in: its counts are those of its files, and their dates are gone."""
    must(not entry["spans"] and not entry["files"], "I3", f"{key}: an expiry that adds something")
    removed = take_out(key, log, entry)
    must(sorted(map(tuple, entry["details"]["rows"])) == _counted(removed), "I4", f"{key}: counts other rows: {entry}")
    dates: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for file in removed:
        dates[file.dt][0] += len(file.rows) * (file.kind == "data")
        dates[file.dt][1] += len(file.late)
        log.expired.setdefault(file.dt, entry["seq"])
        for row in file.rows:
            log.take_row_out(file, row, entry["seq"])
    must(entry["details"]["dates"] == dict(dates), "I11", f"{key}: counts other dates than {dict(dates)}")


def take_out(key: str, log: TopicLog, entry: Mapping[str, Any]) -> list[KnownFile]:
    """Return the files that an entry takes out."""
    removes = entry["details"]["removes"]
    must(bool(removes) and len(set(removes)) == len(removes), "I3", f"{key}: removes nothing, or a file twice")
    for name in removes:
        must(name in log.files, "I3", f"{key}: removes {name}, which is not there (entry {log.removed.get(name)})")
    log.removed.update(dict.fromkeys(removes, entry["seq"]))
    return [log.files.pop(name) for name in removes]


def _erased(key: str, entry: Mapping[str, Any]) -> dict[tuple[str, str], set[Place]]:
    gone: dict[tuple[str, str], set[Place]] = defaultdict(set)
    for each in entry["details"]["erased"]:
        offsets = [offset for start, end in each["offsets"] for offset in range(start, end)]
        must(offsets == sorted(set(offsets)) and len(offsets) == each["rows"], "I4", f"{key}: says {each}")
        gone[each["kind"], each["dt"]] |= {(each["partition"], offset) for offset in offsets}
    return dict(gone)


def _counted(files: Iterable[KnownFile]) -> list[tuple[str, int, int, int, int, int]]:
    rows: dict[tuple[str, int, int], list[Row]] = defaultdict(list)
    for file in files:
        for row in file.rows:
            rows[file.topic_id, row[0], file.lineages[row[0]]].append(row)
    return sorted((*of, len(own), min(r[1] for r in own), max(r[1] for r in own)) for of, own in rows.items())
