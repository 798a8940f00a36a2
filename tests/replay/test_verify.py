"""The check of a whole archive: everything that can be wrong is found, named, and tells what to do next."""

import json
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from small_archive import DAY_MS, NOV_23_MS, Rec, SmallArchive, pin_value

from headrace.archiver.log_entries import Gap, LogTooNew, log_key
from headrace.archiver.object_store import StoreUnreachable
from headrace.replay import TopicUnknown
from headrace.replay.findings import VerifyReport
from headrace.replay.verify import verify_archive


def pins(partition: int, start: int, end: int) -> list[Rec]:
    return [Rec(partition, o, pin_value(o), b"k", NOV_23_MS + 1000 * partition + o) for o in range(start, end)]


def archive_of_three() -> SmallArchive:
    archive = SmallArchive()
    archive.commit(pins(0, 0, 5) + pins(1, 0, 5))
    archive.commit([*pins(0, 5, 9), Rec(0, 9, b"bad"), Rec(0, 10, pin_value(1, at_ms=NOV_23_MS + DAY_MS))])
    archive.commit(pins(1, 8, 12), gaps={1: [Gap(5, 8, "retention")]})
    return archive


def checked(archive: SmallArchive, head: tuple[int, str] | None = None) -> VerifyReport:
    return verify_archive(archive.store, "pin", head=head)[0]


def change_entry(archive: SmallArchive, seq: int, change: Callable[[str], str]) -> None:
    """Edit an entry as somebody with access to the bucket could; the change must be one."""
    key = log_key("pin", seq)
    before = archive.memory.objects[key].decode()
    after = change(before)
    assert after != before
    archive.memory.objects[key] = after.encode()


def data_key(archive: SmallArchive, kind: str = "data") -> str:
    return min(key for key in archive.memory.objects if key.startswith(f"{kind}/"))


def test_a_sound_archive_is_fine_and_says_what_was_checked() -> None:
    """Counts tell that something was looked at; gaps are listed and are not findings."""
    report = checked(archive_of_three())
    assert report.ok
    assert (report.entries, report.files, report.parts, report.rows) == (3, 5, 6, 20)
    assert [(identity.partition, gap.start, gap.end) for identity, gap in report.gaps] == [(1, 5, 8)]
    assert report.unreferenced == []


def test_the_json_form_is_versioned_and_complete() -> None:
    """Scripts find the outcome, the counts, the gaps and the findings."""
    archive = archive_of_three()
    del archive.memory.objects[data_key(archive)]
    value = json.loads(json.dumps(checked(archive).as_json()))
    assert (value["version"], value["ok"], value["snapshot"]) == (1, False, 3)
    assert value["checked"] == {
        "entries": 3,
        "folds": 0,
        "files": 4,
        "parts": 4,
        "rows": 10,
        "bytes": sum(len(body) for key, body in archive.memory.objects.items() if not key.startswith("log/")),
    }
    assert value["gaps"][0]["reason"] == "retention"
    assert set(value["findings"][0]) == {"where", "what", "next"}


def damage_missing_object(archive: SmallArchive) -> None:
    del archive.memory.objects[data_key(archive)]


def damage_flipped_bit(archive: SmallArchive) -> None:
    key = data_key(archive)
    body = bytearray(archive.memory.objects[key])
    body[len(body) // 2] ^= 4
    archive.memory.objects[key] = bytes(body)


def damage_quarantine(archive: SmallArchive) -> None:
    key = data_key(archive, "quarantine")
    archive.memory.objects[key] = archive.memory.objects[key][:-1] + b"?"


def damage_truncated_object(archive: SmallArchive) -> None:
    key = data_key(archive)
    archive.memory.objects[key] = archive.memory.objects[key][:100]


def damage_edited_middle_entry(archive: SmallArchive) -> None:
    change_entry(archive, 2, lambda text: text.replace('"writer":"test:1:0"', '"writer":"test:1:1"'))


def damage_unreadable_entry(archive: SmallArchive) -> None:
    change_entry(archive, 2, lambda text: text[:-20])


def damage_missing_entry(archive: SmallArchive) -> None:
    del archive.memory.objects[log_key("pin", 2)]


def damage_swapped_entries(archive: SmallArchive) -> None:
    one, two = log_key("pin", 1), log_key("pin", 2)
    objects = archive.memory.objects
    objects[one], objects[two] = objects[two], objects[one]


def damage_span_of_the_last_entry(archive: SmallArchive) -> None:
    change_entry(archive, 3, lambda text: text.replace('"rows":4,"to":12', '"rows":3,"to":12'))


def damage_digest_of_the_last_entry(archive: SmallArchive) -> None:
    change_entry(archive, 3, lambda text: re.sub('"digest":"....', '"digest":"beef', text))


def damage_offsets_of_the_last_entry(archive: SmallArchive) -> None:
    change_entry(archive, 3, lambda text: text.replace('"first":8', '"first":9'))


def damage_row_start_of_the_last_entry(archive: SmallArchive) -> None:
    change_entry(archive, 3, lambda text: text.replace('"row_start":0', '"row_start":1'))


def damage_added_spaces(archive: SmallArchive) -> None:
    change_entry(archive, 3, lambda text: text.replace(",", ", ", 1))


def damage_late_count(archive: SmallArchive) -> None:
    change_entry(archive, 3, lambda text: text.replace('"late":0', '"late":2'))


@pytest.mark.parametrize(
    ("damage", "where", "what"),
    [
        (damage_missing_object, "data/topic=pin", "does not exist"),
        (damage_flipped_bit, "data/topic=pin", "SHA-256"),
        (damage_quarantine, "quarantine/topic=pin", "SHA-256"),
        (damage_truncated_object, "data/topic=pin", "has 100 bytes"),
        (damage_edited_middle_entry, log_key("pin", 3), "prev_sha256"),
        (damage_unreadable_entry, log_key("pin", 2), "not JSON"),
        (damage_missing_entry, log_key("pin", 2), "does not exist, while entry 3 does"),
        (damage_swapped_entries, log_key("pin", 1), "says seq 2"),
        (damage_span_of_the_last_entry, log_key("pin", 3), "the span says"),
        (damage_digest_of_the_last_entry, "data/topic=pin", "are not the archived ones"),
        (damage_offsets_of_the_last_entry, "data/topic=pin", "offsets 8 to 11"),
        (damage_row_start_of_the_last_entry, "data/topic=pin", "begins at row 1"),
        (damage_added_spaces, log_key("pin", 3), "not in the form"),
        (damage_late_count, log_key("pin", 3), "is not sealed"),
    ],
)
def test_damage_is_found_and_named(damage: Callable[[SmallArchive], None], where: str, what: str) -> None:
    """Each kind of damage yields a finding that names the object, the fault and what to do."""
    archive = archive_of_three()
    damage(archive)
    report = checked(archive)
    assert not report.ok
    assert any(where in each.where and what in each.what and each.next for each in report.findings), report.findings


def test_one_bad_file_does_not_hide_another() -> None:
    """The check goes on after a finding."""
    archive = archive_of_three()
    for key in [key for key in archive.memory.objects if key.startswith("data/")][:2]:
        del archive.memory.objects[key]
    assert len(checked(archive).findings) == 2


def test_one_bad_part_does_not_hide_the_others_of_its_file() -> None:
    """Parts are checked one by one once a file has a bad one: the sound part is counted, the bad one is named."""
    archive = SmallArchive()
    entry = archive.commit(pins(0, 0, 5) + pins(1, 0, 5))
    digest = entry.files[0].parts[1].digest
    change_entry(archive, 1, lambda text: text.replace(digest, "0" * 64))
    report = checked(archive)
    assert [("pin/1" in each.what or "pin/1" in each.where) for each in report.findings] == [True]
    assert report.rows == 5


def test_a_part_that_was_dropped_from_the_log_is_missed() -> None:
    """Even when somebody makes all counts of the newest entry fit, the file holds rows that no part names."""
    archive = SmallArchive()
    entry = archive.commit(pins(0, 0, 5) + pins(1, 0, 5))
    file = replace(entry.files[0], parts=entry.files[0].parts[:1], rows=5)
    changed = replace(entry, spans=entry.spans[:1], files=(file,))
    archive.memory.objects[log_key("pin", 1)] = changed.encode()
    assert any("number of rows is 10, the log says 5" in each.what for each in checked(archive).findings)


def test_what_comes_after_a_broken_entry_is_said_to_be_unchecked() -> None:
    """Nobody takes the rest for checked."""
    archive = archive_of_three()
    damage_unreadable_entry(archive)
    report = checked(archive)
    assert any("the 1 entries after it cannot be checked" in each.what for each in report.findings)
    assert report.entries == 1


def test_objects_that_no_entry_names_are_reported_and_are_not_wrong() -> None:
    """A crash between upload and commit leaves such; `_SUCCESS` markers are no leftovers."""
    archive = archive_of_three()
    left = "data/topic=pin/dt=2026-11-23/left.parquet"
    archive.memory.objects[left] = b"left"
    archive.memory.objects["data/topic=pin/dt=2026-11-23/_SUCCESS"] = b""
    report = checked(archive)
    assert report.ok
    assert [(info.key, info.size) for info in report.unreferenced] == [(left, 4)]


def test_a_noted_head_proves_that_the_log_was_not_rewritten() -> None:
    """A newest entry that was changed to something valid is only seen by who kept its hash."""
    archive = archive_of_three()
    head = archive.log.state.head_sha256
    assert checked(archive, (3, head)).ok
    change_entry(archive, 3, lambda text: text.replace('"writer":"test:1:0"', '"writer":"test:1:1"'))
    assert checked(archive).ok
    assert any("was noted" in each.what for each in checked(archive, (3, head)).findings)


def test_a_log_cut_short_is_seen_by_a_noted_head() -> None:
    """A deleted newest entry leaves no trace in the log itself."""
    archive = archive_of_three()
    head = archive.log.state.head_sha256
    del archive.memory.objects[log_key("pin", 3)]
    assert any("the log ends at 2" in each.what for each in checked(archive, (3, head)).findings)


def test_an_offset_in_two_files_is_found() -> None:
    """Two files of one commit that both hold an offset: the counts fit, the offsets tell."""
    archive = SmallArchive()
    entry = archive.commit(pins(0, 0, 4))
    twin = entry.files[0].key.replace("id", "twin")
    archive.memory.objects[twin] = archive.memory.objects[entry.files[0].key]
    file_json = json.dumps(entry.files[0].as_json(), sort_keys=True, separators=(",", ":"))
    doubled = file_json + "," + file_json.replace(entry.files[0].key, twin)
    change_entry(
        archive, 1, lambda text: text.replace(file_json, doubled).replace('"rows":4,"to":4', '"rows":8,"to":4')
    )
    assert any("archived twice" in each.what for each in checked(archive).findings)


@pytest.mark.parametrize("seq", [1, 2])
def test_every_flipped_bit_of_an_entry_that_others_follow_is_found(seq: int) -> None:
    """The chain covers each byte: a finding, or "made by a newer version" where the bit made it look so."""
    archive = archive_of_three()
    sound = archive.memory.objects[log_key("pin", seq)]
    for at in range(0, len(sound), 7):
        damaged = bytearray(sound)
        damaged[at] ^= 1 << (at % 8)
        archive.memory.objects[log_key("pin", seq)] = bytes(damaged)
        try:
            assert not checked(archive).ok
        except LogTooNew:
            continue


def test_an_unknown_topic_is_an_error_and_not_a_success() -> None:
    """Nothing was checked, so nothing is fine."""
    with pytest.raises(TopicUnknown, match="it has pin"):
        verify_archive(archive_of_three().store, "pins")


def test_a_log_that_is_too_new_is_no_damage() -> None:
    """It is for a newer headrace to judge."""
    archive = archive_of_three()
    change_entry(archive, 3, lambda text: text.replace('"min_reader":1', '"min_reader":99'))
    with pytest.raises(LogTooNew, match="upgrade"):
        checked(archive)


def test_a_store_that_does_not_answer_is_no_damage() -> None:
    """An outage ends the check with the store's own error."""
    archive = archive_of_three()

    def fault(operation: str, key: str) -> None:
        if operation == "get" and key.startswith("data/"):
            raise StoreUnreachable("no answer")

    archive.memory.fault = fault
    with pytest.raises(StoreUnreachable):
        checked(archive)


def test_an_expired_file_is_neither_checked_nor_missed() -> None:
    """What an `expire` entry removed may be gone, and counts as leftover while it is not."""
    archive = archive_of_three()
    key = data_key(archive)
    archive.expire(key)
    assert [info.key for info in checked(archive).unreferenced] == [key]
    del archive.memory.objects[key]
    assert checked(archive).ok
