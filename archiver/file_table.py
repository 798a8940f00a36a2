"""The files of a snapshot: a mapping from key to file that stays small when there are a million of them.

Files of the log's full thousands lie in columns (file_columns.py), the newest ones in a dict. What lies in folds is
fetched only when somebody asks for a file that is not at hand: a worker that wants to know where to read on never does.
Pure but for `older`, the way to what is not at hand.
"""

from collections.abc import Callable, Collection, ItemsView, Iterator, Mapping, MutableMapping, ValuesView

import numpy as np

from .file_columns import CommittedFile, FileColumns, NotFoldable

Older = Callable[[], Iterator[FileColumns]]
"""Yields the columns of the folded thousands, newest first."""


class KeyHashes:
    """Which keys a table has, in eight bytes each.

    Two keys may share a hash, once in many million archives: then an object that nothing names looks as if it were
    named. So it is only good for what must never err in the other direction: cleaning.
    """

    def __init__(self, hashes: np.ndarray) -> None:
        self._hashes = np.sort(hashes)

    def __contains__(self, key: object) -> bool:
        value = np.int64(hash(key))
        at = int(np.searchsorted(self._hashes, value))
        return at < len(self._hashes) and bool(self._hashes[at] == value)


class FileTable(MutableMapping[str, CommittedFile]):
    """Files by key, in the order of their entries. `older`: where the files of folded thousands are, None for nowhere.

    `removed` says by which entry a key went, as far as it is at hand.
    """

    def __init__(self, older: Older | None = None) -> None:
        self._older = older
        self._columns: list[FileColumns] = []
        self._recent: dict[str, CommittedFile] = {}
        self._recent_removed: dict[str, int] = {}
        self._index: tuple[np.ndarray, np.ndarray] | None = None
        self._foldable = True
        self.removed: dict[str, int] = {}

    # -- changes -----------------------------------------------------------------------------------------------------

    @property
    def at_hand(self) -> bool:
        """Whether all files are here, so that looking at them asks nobody."""
        return self._older is None

    def __setitem__(self, key: str, committed: CommittedFile) -> None:
        self._recent[key] = committed

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self.remove(key, 0)

    def remove(self, key: str, seq: int) -> None:
        """Take a file out, as entry `seq` says; one that is not at hand is noted for when it comes."""
        self.removed[key] = self._recent_removed[key] = seq
        if self._recent.pop(key, None) is None and (found := self._find(key)) is not None:
            columns, row = found
            columns.alive[row] = False

    def close_thousand(self, seq: int) -> FileColumns | None:
        """Put what came since the last call into columns, and return them: what a fold at `seq` keeps.

        None when a value does not fit into columns; then this table keeps all later files as they are.
        """
        if not self._foldable:
            return None
        try:
            columns = FileColumns.of(seq, self._recent.values(), self._recent_removed)
        except NotFoldable:
            self._foldable = False
            return None
        self._columns.append(columns)
        self._recent, self._recent_removed, self._index = {}, {}, None
        return columns

    # -- reading -----------------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Fetch what is not at hand. Raises what the store and a damaged log raise."""
        if self._older is None:
            return
        removed = dict(self.removed)
        loaded: list[FileColumns] = []
        for columns in self._older():
            columns.bury(removed)
            removed.update(columns.removed)
            loaded.append(columns)
        self._columns = [*reversed(loaded), *self._columns]
        self.removed, self._older, self._index = removed, None, None

    def here(self, key: str) -> bool:
        """Whether a file is in the snapshot, as far as it is at hand: asks nobody."""
        return key in self._recent or self._find(key) is not None

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        if key in self._recent:
            return True
        self.load()
        return self._find(key) is not None

    def __getitem__(self, key: str) -> CommittedFile:
        recent = self._recent.get(key)
        if recent is not None:
            return recent
        self.load()
        found = self._find(key)
        if found is None:
            raise KeyError(key)
        columns, row = found
        return columns.file(row)

    def __iter__(self) -> Iterator[str]:
        self.load()
        for columns in self._columns:
            yield from columns.keys()
        yield from self._recent

    def __len__(self) -> int:
        self.load()
        return sum(int(columns.alive.sum()) for columns in self._columns) + len(self._recent)

    def values(self) -> ValuesView[CommittedFile]:
        """Return the files in the order of their entries."""
        return _Values(self)

    def items(self) -> ItemsView[str, CommittedFile]:
        """Return (key, file) in the order of their entries."""
        return _Items(self)

    def select(
        self, *, dates: Collection[str] = (), kinds: Collection[str] = (), after: int = -1
    ) -> Iterator[CommittedFile]:
        """Yield the files of these dates and kinds (empty: all) that entries after `after` added."""
        self.load()
        for columns in self._columns:
            if columns.last_seq > after:
                yield from columns.select(dates, kinds, after)
        for committed in self._recent.values():
            file = committed.file
            if committed.seq > after and (not dates or file.dt in dates) and (not kinds or file.kind in kinds):
                yield committed

    def key_hashes(self) -> KeyHashes:
        """Return which keys there are, without keeping what had to be fetched for it."""
        hashes = [np.fromiter(map(hash, self._recent), np.int64, len(self._recent))]
        hashes += [columns.live_hashes() for columns in self._columns]
        if self._older is not None:
            removed = dict(self.removed)
            for columns in self._older():
                columns.bury(removed)
                removed.update(columns.removed)
                hashes.append(columns.live_hashes())
        return KeyHashes(np.concatenate(hashes))

    def _find(self, key: str) -> tuple[FileColumns, int] | None:
        """Return where a key's live row is, among what is at hand."""
        if not self._columns:
            return None
        if self._index is None:
            each = [columns.hashes() for columns in self._columns]
            hashes = np.concatenate(each)
            order = np.argsort(hashes, kind="stable")
            self._index = hashes[order], order
        hashes, order = self._index
        value = np.int64(hash(key))
        at = int(np.searchsorted(hashes, value))
        while at < len(hashes) and hashes[at] == value:
            row = int(order[at])
            for columns in self._columns:
                if row < len(columns.alive):
                    if columns.alive[row] and columns.key(row) == key:
                        return columns, row
                    break
                row -= len(columns.alive)
            at += 1
        return None


class _Values(ValuesView[CommittedFile]):
    _mapping: Mapping[str, CommittedFile]

    def __iter__(self) -> Iterator[CommittedFile]:
        table = self._mapping
        if isinstance(table, FileTable):
            yield from table.select()


class _Items(ItemsView[str, CommittedFile]):
    _mapping: Mapping[str, CommittedFile]

    def __iter__(self) -> Iterator[tuple[str, CommittedFile]]:
        table = self._mapping
        if isinstance(table, FileTable):
            for committed in table.select():
                yield committed.file.key, committed
