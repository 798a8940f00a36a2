"""Which groups a rule has seen, and since when the new ones are new. Bounded: the longest unseen go first."""

from collections.abc import Collection
from typing import Any

from .rules import FirstSeen, Group


class SeenValues:
    """Groups with the ends of the hops (microseconds) in which they appeared last, in that order."""

    def __init__(self, groups_max: int) -> None:
        self._groups_max = groups_max
        self._last_us: dict[Group, int] = {}
        self._new_us: dict[Group, int] = {}
        self.changed: set[Group] = set()

    def __len__(self) -> int:
        return len(self._last_us)

    def appeared(self, groups: Collection[Group], end_us: int, condition: FirstSeen, *, known: bool) -> None:
        """Note the groups of one hop; `known`: none of them is new, since the rule only learns yet."""
        for group in sorted(groups):
            last_us = self._last_us.pop(group, None)
            if not known and (last_us is None or last_us < end_us - condition.remember_us):
                self._new_us[group] = end_us
            self._last_us[group] = end_us
            self.changed.add(group)
        for group in [each for each, since in self._new_us.items() if since + condition.hold_us < end_us]:
            del self._new_us[group]
        while len(self._last_us) > self._groups_max:
            gone = next(iter(self._last_us))
            del self._last_us[gone]
            self.changed.add(gone)

    def is_new(self, group: Group) -> bool:
        """Say whether a group is among those that appeared for the first time lately."""
        return group in self._new_us

    def holds(self, group: Group, end_us: int, condition: FirstSeen) -> bool:
        """Say whether the alert about a new group is on at that time."""
        since = self._new_us.get(group)
        return since is not None and end_us < since + condition.hold_us

    def entry(self, group: Group) -> Any:
        """Return what is known of a group, in a form for JSON; None: nothing."""
        last_us = self._last_us.get(group)
        return None if last_us is None else [list(group), last_us, self._new_us.get(group)]

    def groups(self) -> list[Group]:
        """Return the groups, those first that were not seen for longest."""
        return list(self._last_us)

    def restore(self, entries: list[Any]) -> None:
        """Take what entry() gave, in any order."""
        for group, last_us, new_us in sorted(entries, key=lambda each: each[1]):
            self._last_us[tuple(group)] = last_us
            if new_us is not None:
                self._new_us[tuple(group)] = new_us
