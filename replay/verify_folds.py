"""Checks the folds of a topic's log against its entries: each that is there must say just what they add up to.

A fold that is not there is nothing wrong, since readers do without it; one that says something else is passed over by
readers where they can tell, and must be found where they cannot.
"""

from headrace.archiver.file_columns import FileColumns
from headrace.archiver.fold_file import FoldUnusable, fold_key, fold_of, read_fold
from headrace.archiver.log_state import LogState
from headrace.archiver.object_store import ObjectNotFound, ObjectStore

from .findings import Finding, VerifyReport
from .loading import object_url


class FoldChecker:
    """Takes part in one reading of a log, and notes what it finds in the report."""

    def __init__(self, store: ObjectStore, topic: str, report: VerifyReport) -> None:
        self._store = store
        self._topic = topic
        self._report = report
        self._known: set[str] = set()

    def check(self, state: LogState, columns: FileColumns, begin: tuple[int, str]) -> None:
        """Compare the fold at a full thousand with the state there (see LogState.on_thousand)."""
        key = fold_key(self._topic, state.seq)
        self._known.add(key)
        try:
            found = read_fold(self._store.get(key))
        except ObjectNotFound:
            return
        except FoldUnusable as error:
            self._note(key, f"{error}. Readers pass it over")
            return
        expected = fold_of(state, columns, begin)
        if found.digest == expected.digest:
            self._report.folds += 1
            return
        differing = [
            name
            for name in ("topic", "seq", "head_sha256", "begin_seq", "begin_sha256", "summary")
            if getattr(found, name) != getattr(expected, name)
        ]
        self._note(key, f"is not what the entries add up to: {', '.join(differing) or 'its files'} differ")

    def find_foreign(self, head: int) -> None:
        """Note objects beside the folds that are none of this log's."""
        for info in self._store.list(f"fold/topic={self._topic}/"):
            if info.key not in self._known:
                self._note(info.key, f"is no fold of this log, which ends at entry {head}")

    def _note(self, key: str, what: str) -> None:
        advice = f"delete it; `headrace log {self._topic} --fold` makes what is missing"
        self._report.findings.append(Finding(object_url(self._store, key), what, advice))
