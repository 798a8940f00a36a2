"""The simulated group coordinator: who has which partition, cooperative and sticky, with members that it gives up on.

A partition moves in two steps: its owner is told to revoke it at its next poll, and only when it has done so the next
owner gets it. A member that the coordinator gave up on (a zombie) is not asked: others get its partitions at once, and
it hears of that when it polls again. A static member that comes back takes its old place, and fences who had it.
"""

from dataclasses import dataclass, field
from random import Random

from headrace.archiver.source import TopicPartition

from .kafka import SimKafka

STAY = 0.75  # how often a partition stays where it is when the group is balanced anew


@dataclass
class Member:
    """One consumer. `owned`: what it was told to read; `alive`: whether the coordinator still counts on it."""

    number: int
    instance: str | None
    owned: set[TopicPartition] = field(default_factory=set)
    alive: bool = True
    fenced: bool = False


class Group:
    """The members of one group on all topics."""

    def __init__(self, kafka: SimKafka, random: Random) -> None:
        self._kafka = kafka
        self._random = random
        self._numbers = 0
        self.members: list[Member] = []
        self.owner: dict[TopicPartition, Member] = {}
        self.target: dict[TopicPartition, Member] = {}

    def join(self, instance: str | None) -> Member:
        """Add a member. With the instance id of a member that is there it takes over that one's place."""
        self._numbers += 1
        member = Member(self._numbers, instance)
        before = next((each for each in self.members if instance is not None and each.instance == instance), None)
        self.members.append(member)
        if before is not None:
            before.fenced = True
            self.members.remove(before)
            self.target = {p: member if owner is before else owner for p, owner in self.target.items()}
            self._release(before)
        self.balance()
        return member

    def leave(self, member: Member) -> None:
        """Remove a member, in order or because it did not answer: its partitions are free at once."""
        member.alive = False
        if member in self.members:
            self.members.remove(member)
        self._release(member)
        self.balance()

    def _release(self, member: Member) -> None:
        self.owner = {p: owner for p, owner in self.owner.items() if owner is not member}

    def balance(self) -> None:
        """Choose anew who is to have what: mostly as it was, so that moves stay few."""
        old, self.target = self.target, {}
        exists = [TopicPartition(*each) for each in self._kafka.all_partitions()]
        self.owner = {p: owner for p, owner in self.owner.items() if p in exists}
        if not self.members:
            return
        for partition in exists:
            before = old.get(partition)
            if before is not None and before in self.members and self._random.random() < STAY:
                self.target[partition] = before
            else:
                self.target[partition] = self._random.choice(self.members)

    def to_revoke(self, member: Member) -> list[TopicPartition]:
        """Return what a member has and is to give up."""
        return sorted(p for p in member.owned if self.target.get(p) is not member)

    def revoked(self, member: Member, partitions: list[TopicPartition]) -> None:
        """Note that a member gave partitions up."""
        member.owned.difference_update(partitions)
        for partition in partitions:
            if self.owner.get(partition) is member:
                del self.owner[partition]

    def to_assign(self, member: Member) -> list[TopicPartition]:
        """Return what is free, or free again, for a member that does not have it yet."""
        return sorted(
            p for p, to in self.target.items() if to is member and p not in member.owned and p not in self.owner
        )

    def assigned(self, member: Member, partitions: list[TopicPartition]) -> None:
        """Note that a member was given partitions."""
        member.owned.update(partitions)
        self.owner.update(dict.fromkeys(partitions, member))
