"""Asks Kafka and the archive what there is to know, in as few calls as there are kinds of question, not of partitions.

Either may be silent. Without S3 the group's committed offsets stand in for the log, which they are never ahead of;
without Kafka the log says how far the archive is, and nothing about lag. Only both silent is an error.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from confluent_kafka import KafkaException

from headrace.schemas.catalog import AUDIT_TOPIC

from ..fetching import side_by_side
from ..kafka_admin import FirstRecord, KafkaAdmin, LogEnds
from ..kafka_metadata import KafkaMetadata
from ..log_entries import LogCorrupt, LogTooNew
from ..log_reading import read_newest, read_on, topics_of
from ..log_state import LogState, LogViolation
from ..object_store import ObjectStore, StoreError
from ..source import SourceError, TopicPartition
from .audit_tail import AuditTail
from .facts import Facts
from .kafka_questions import KafkaQuestions, Said
from .lag import first_unarchived
from .recent_rows import Counts, RecentRows
from .topic_news import NewsReader, TopicNews
from .whole import Account, SchemaConflict, Whole

FIRST_RECORDS_TIMEOUT_S = 5.0


class NoSuchTopic(Exception):
    """A topic that was asked for is neither in Kafka nor in the archive. `there` names those that are."""

    def __init__(self, topic: str, there: Collection[str]) -> None:
        super().__init__(topic)
        self.topic = topic
        self.there = sorted(there)


@dataclass(frozen=True)
class Gathered:
    """All facts, and what could not be asked: a silent store, a silent Kafka, single questions."""

    facts: list[Facts]
    store_problem: str = ""
    kafka_problem: str = ""
    unanswered: tuple[str, ...] = ()
    whole: Whole = field(default_factory=Whole)
    news: tuple[TopicNews, ...] = ()


class Gatherer:
    """Asks one cluster and one archive; kept between looks for `--watch`. `now_ms()` is Unix milliseconds.

    `audit`: where sessions account for their events. `with_news`: say what happened to each topic lately.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        store: ObjectStore,
        *,
        group: str,
        event_topics: Collection[str],
        now_ms: Callable[[], int],
        pause: Callable[[float], None],
        monotonic: Callable[[], float],
        audit: AuditTail | None = None,
        with_news: bool = False,
    ) -> None:
        self._audit = audit
        self._news = NewsReader(store) if with_news else None
        self._store = store
        self._group = group
        self._event_topics = event_topics
        self._now_ms = now_ms
        self._metadata = KafkaMetadata(kafka)
        self._admin = KafkaAdmin(kafka, pause=pause, monotonic=monotonic)
        self._questions = KafkaQuestions(kafka, pause=pause)
        self.states: dict[str, LogState] = {}
        """The topics' folded logs, read on at each look."""
        self._recent: dict[str, RecentRows] = {}

    def look(self, topics: Sequence[str] = ()) -> Gathered:
        """Return the facts of these topics; of none given, of all in the archive and all event types in Kafka.

        Raises NoSuchTopic; SourceError when neither Kafka nor the archive answers.
        """
        store_problem = ""
        archived: set[str] = set()
        try:
            archived = set(topics_of(self._store))
        except StoreError as error:
            store_problem = str(error)
        try:
            return self._with_kafka(topics, archived, store_problem)
        except SourceError as error:
            if store_problem:
                raise SourceError(f"{error} And the archive: {store_problem}") from error
            return self._without_kafka(topics, archived, str(error))

    def _with_kafka(self, topics: Sequence[str], archived: set[str], store_problem: str) -> Gathered:
        present = self._metadata.topics()
        asked = [TopicPartition(topic, number) for topic, count in present.items() for number in range(count)]
        committed = self._questions.committed(self._group, asked)
        chosen = sorted(set(topics)) or sorted(
            archived | (set(self._event_topics) & set(present)) | {each.topic for each in committed} & set(present)
        )
        for topic in chosen:
            if topic not in present and topic not in archived and not store_problem:
                raise NoSuchTopic(topic, archived | set(present))
        self._questions.unanswered = []
        topic_ids = self._metadata.topic_ids([topic for topic in chosen if topic in present])
        # The log is read before Kafka's ends, so that the archive can't seem to be ahead of Kafka.
        facts: list[Facts] = []
        conflicts: tuple[SchemaConflict, ...] = ()
        news: tuple[TopicNews, ...] = ()
        if not store_problem:
            try:
                facts = self._of_topics({topic: (topic_ids.get(topic), present.get(topic, 0)) for topic in chosen})
                conflicts = self._conflicts()
                news = self._read_news(chosen)
            except StoreError as error:
                store_problem = str(error)
        if store_problem:
            facts = [each for topic in chosen for each in _of_group(topic, present.get(topic, 0), committed)]
        facts = self._in_kafka(facts, topic_ids, committed)
        whole = Whole(conflicts, self._accounts(present))
        return Gathered(
            facts,
            store_problem,
            unanswered=tuple(self._questions.unanswered),
            whole=whole,
            news=news,
        )

    def _conflicts(self) -> tuple[SchemaConflict, ...]:
        names = (info.key.removeprefix("schemas/").removesuffix(".avsc") for info in self._store.list("schemas/"))
        return tuple(SchemaConflict(*name.split("-", 1)) for name in sorted(names) if "-" in name)

    def _accounts(self, present: Mapping[str, int]) -> tuple[Account, ...]:
        if self._audit is None:
            return ()
        try:
            return self._audit.accounts(present.get(AUDIT_TOPIC, 0), self._now_ms())
        except KafkaException as error:
            self._questions.unanswered.append(f"what sessions say of their events: {error.args[0].str()}")
            return ()

    def _read_news(self, topics: Collection[str]) -> tuple[TopicNews, ...]:
        if self._news is None:
            return ()
        return tuple(self._news.read(self.states[topic]) for topic in topics if topic in self.states)

    def _without_kafka(self, topics: Sequence[str], archived: set[str], problem: str) -> Gathered:
        chosen = sorted(set(topics)) or sorted(archived)
        facts = self._of_topics(dict.fromkeys(chosen, (None, 0)))
        return Gathered([replace(each, problem="Kafka does not answer") for each in facts], kafka_problem=problem)

    def _in_kafka(
        self, facts: list[Facts], topic_ids: Collection[str], committed: Mapping[TopicPartition, Said]
    ) -> list[Facts]:
        asked_ms = self._now_ms()
        ends = self._admin.log_ends([each.where for each in facts if each.where.topic in topic_ids])
        facts = [_with_ends(each, ends.get(each.where), committed.get(each.where)) for each in facts]
        waiting = {each.where: at for each in facts if not each.problem and (at := first_unarchived(each)) is not None}
        held_back = [
            each for each in facts if each.ends is not None and each.ends.high_watermark > each.ends.last_stable
        ]
        transactions = self._questions.transactions() if held_back else {}
        if not waiting:
            return [replace(each, transaction=transactions.get(each.where)) for each in facts]
        firsts: Mapping[TopicPartition, FirstRecord] = self._admin.first_records(
            waiting, timeout_s=FIRST_RECORDS_TIMEOUT_S
        )
        retentions = self._questions.retentions(sorted({where.topic for where in waiting}))
        written = {each.where: each.ends for each in facts if each.ends and each.where in waiting}
        rates = self._questions.rates(written, asked_ms)
        bounded = [where for where in waiting if (each := retentions.get(where.topic)) and each.bytes is not None]
        sizes = self._questions.sizes() if bounded else {}
        # What was deleted since the ends were asked for is not in the size any more.
        starts = self._admin.log_starts(bounded) if bounded else {}
        return [
            replace(
                each,
                transaction=transactions.get(each.where),
                first=firsts.get(each.where),
                retention=retentions.get(each.where.topic),
                rates=rates.get(each.where),
                size_bytes=sizes.get(each.where),
                size_start=starts.get(each.where),
                ends_ms=asked_ms,
            )
            for each in facts
        ]

    def _state(self, topic: str) -> LogState:
        known = self.states.pop(topic, None)  # one that cannot be read on is read anew the next time
        heard = self._recent.setdefault(topic, RecentRows(self._store, topic, self._now_ms)).take
        if known is None:
            state = read_newest(self._store, LogState(topic), on_entry=heard)
        else:
            state = read_on(self._store, known, on_entry=heard)
        self.states[topic] = state
        return state

    def _of_topics(self, topics: Mapping[str, tuple[str | None, int]]) -> list[Facts]:
        reads = [partial(self._of_topic, topic, *known) for topic, known in topics.items()]
        return [each for facts in side_by_side(self._store, reads) for each in facts]

    def _of_topic(self, topic: str, topic_id: str | None, partitions: int) -> list[Facts]:
        """Return what the archive knows of a topic's partitions; `topic_id` None: Kafka does not have the topic."""
        problem, damaged = "", False
        recent: Counts = {}
        try:
            state = self._state(topic)
            recent = self._recent[topic].counts(state.seq)
        except (LogCorrupt, LogTooNew, LogViolation) as error:
            state, problem, damaged = LogState(topic), str(error), True
        known = [each.identity.partition for each in state.partitions()]
        numbers: Iterable[int] = range(partitions)
        if topic_id is None:
            problem = problem or "Kafka has no such topic (any more)"
            numbers = known or [0]
        facts = []
        for partition in numbers:
            newest = state.newest(partition, topic_id)
            rows, quarantined = recent.get(partition, (0, 0))
            facts.append(
                Facts(
                    where=TopicPartition(topic, partition),
                    ends=None,
                    durable=None if newest is None else newest.next,
                    committed=None,
                    recreated=bool(state.topic_id) and topic_id not in (None, state.topic_id) and not state.moved,
                    problem=problem,
                    damaged=damaged,
                    rows=rows,
                    quarantined=quarantined,
                )
            )
        return facts


def _of_group(topic: str, partitions: int, committed: Mapping[TopicPartition, Said]) -> list[Facts]:
    """Return what the group's commits say in place of a log that cannot be read."""
    facts = []
    for number in range(partitions):
        where = TopicPartition(topic, number)
        said = committed.get(where)
        facts.append(
            Facts(
                where=where,
                ends=None,
                durable=None if said is None else said.offset,
                committed=None,
                problem="" if said is not None else "S3 does not answer, and no archiver told Kafka how far it is",
                durable_from="group",
                as_of_ms=None if said is None or said.heartbeat is None else said.heartbeat.at_ms,
            )
        )
    return facts


def _with_ends(facts: Facts, ends: LogEnds | str | None, said: Said | None) -> Facts:
    return replace(
        facts,
        ends=None if isinstance(ends, str) else ends,
        problem=facts.problem or (ends if isinstance(ends, str) else ""),
        committed=None if said is None else said.offset,
        heartbeat=None if said is None else said.heartbeat,
    )
