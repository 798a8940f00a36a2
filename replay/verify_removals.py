"""Checks that of each identity exactly as many rows are left as its spans had, less those that were erased or expired.

What leaves an archive leaves by an entry that counts it: a row that went otherwise, by an entry that took out more than
it says, is missing in this sum.
"""

from collections import defaultdict

from headrace.archiver.log_removals import by_identity
from headrace.archiver.log_state import LogState
from headrace.archiver.object_store import ObjectStore

from .findings import Finding, VerifyReport
from .removed import in_full

RESTORE_ENTRY = "restore the log from a backup or older object versions"


def check_removals(store: ObjectStore, state: LogState, report: VerifyReport) -> None:
    """Note what was erased and expired, and add a finding for each identity whose rows do not add up."""
    report.removed = list(in_full(store, state.topic, state.removals))
    left: dict[tuple[str, int, int], int] = defaultdict(int)
    for committed in state.files.values():
        for part in committed.file.parts:
            left[committed.topic_id, part.partition, committed.lineages.get(part.partition, 0)] += part.rows
    gone = by_identity(state.removals)
    for identity, at in sorted(state.identities.items()):
        of = identity.topic_id, identity.partition, identity.lineage
        had, have, went = at.rows + at.quarantined, left[of], gone.get(of, 0)
        if had != have + went:
            where = f"{state.topic}/{identity.partition}, lineage {identity.lineage} of topic id {identity.topic_id}"
            what = f"{had} records were archived, {went} were erased or expired, and {have} are left"
            report.findings.append(Finding(where, what, RESTORE_ENTRY))
