"""Fetches record batches from the leaders of partitions: one connection a broker, on the caller's thread.

A broker is asked for more as soon as its answer has come, before that is decoded: meanwhile it fetches, and its answer
lies in the socket. So at most one answer a broker is held, and one on its way: that bounds the memory, and a caller who
does not poll makes nothing grow. Nothing here knows of groups or columns.
"""

import select
from collections import deque
from collections.abc import Callable, Collection, Mapping

from confluent_kafka import KafkaError

from .broker_connection import BrokerConnection, ConnectionTrouble, brokers_of
from .fetch_protocol import (
    FETCH,
    METADATA,
    Answer,
    Broker,
    Cluster,
    Limits,
    fetch_request,
    metadata_request,
    read_fetch,
    read_metadata,
)
from .fetch_state import NOBODY, STALE, Arrived, FetchState
from .record_batches import BatchDamaged
from .source import SourceError, Start, TopicPartition

RETRY_S, RETRY_S_MAX = 0.1, 2.0
DENIED_RETRY_S = 1.0
SILENCE_S_MAX = 60.0  # without a byte of an answer, so long after the last: the connection is given up
PARTITION_BYTES_MIN = 64 << 10

Connect = Callable[[Broker], BrokerConnection]


class Fetcher:
    """Fetches for one worker. `warn(text)` hears of passing trouble; `denied` of a partition that may not be read."""

    def __init__(
        self,
        bootstrap: str,
        connect: Connect,
        limits: Limits,
        *,
        monotonic: Callable[[], float],
        warn: Callable[[str], None],
        denied: Callable[[TopicPartition], None],
    ) -> None:
        self._bootstrap = brokers_of(bootstrap)
        self._connect = connect
        self._limits = limits
        self._monotonic = monotonic
        self._warn = warn
        self._denied = denied
        self._states: dict[TopicPartition, FetchState] = {}
        self._generations = 0
        self._rounds = 0
        self._brokers: Mapping[int, Broker] = {}
        self._connections: dict[int, BrokerConnection] = {}
        self._asked: dict[int, dict[TopicPartition, int]] = {}  # what is on its way: the generation of each
        self._heard: dict[int, tuple[float, tuple[int, int]]] = {}
        self._down: dict[int, tuple[float, float]] = {}  # not before when, and the pause after the next failure
        self._asking: BrokerConnection | None = None  # for metadata
        self._next_metadata_s = 0.0
        self._metadata_pause_s = RETRY_S
        self._arrived: deque[Arrived] = deque()

    # -- what is fetched ---------------------------------------------------------------------------------------------

    def assign(self, starts: Mapping[TopicPartition, Start]) -> None:
        """Fetch partitions from these starts; what came of them before is forgotten."""
        self.forget(starts)
        for partition, start in starts.items():
            self._generations += 1
            self._states[partition] = FetchState(partition, start, self._generations)
        self._next_metadata_s = min(self._next_metadata_s, self._monotonic() + RETRY_S)

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Fetch partitions no more."""
        for partition in partitions:
            self._states.pop(partition, None)
        self._arrived = deque(each for each in self._arrived if self._is_current(each))

    def __contains__(self, partition: TopicPartition) -> bool:
        """Whether a partition is fetched."""
        return partition in self._states

    def take(self) -> Arrived | None:
        """Return what came next, None when nothing is there."""
        return self._arrived.popleft() if self._arrived else None

    def put_back(self, arrived: Arrived) -> None:
        """Have it come next again, or what is left of it."""
        self._arrived.appendleft(arrived)

    def _is_current(self, arrived: Arrived) -> bool:
        state = self._states.get(arrived.partition)
        return state is not None and state.generation == arrived.generation

    def close(self) -> None:
        """Close all connections."""
        for node in list(self._connections):
            self._drop(node)
        if self._asking is not None:
            self._asking.close()
            self._asking = None

    # -- the loop ----------------------------------------------------------------------------------------------------

    def work(self, timeout_s: float) -> None:
        """Send what is due, and pick up answers until something has come, or the time is over. Raises SourceError."""
        self._look_up_leaders()
        self._send()
        if self._arrived:
            return  # one answer is enough; the next may wait where it is
        waiting = [connection for connection in self._connections.values() if connection.waiting]
        ready = _readable(waiting, timeout_s)
        for node, connection in list(self._connections.items()):
            if connection.waiting and (connection.fileno() in ready or self._is_silent(node, connection)):
                self._receive(node, connection)

    def _send(self) -> None:
        now = self._monotonic()
        by_node: dict[int, list[FetchState]] = {}
        for state in self._states.values():
            if not state.stopped and state.leader.node >= 0 and state.retry_s <= now:
                by_node.setdefault(state.leader.node, []).append(state)
        for node in set(self._connections) - by_node.keys():
            if not self._connections[node].waiting:
                self._drop(node)  # it leads nothing of ours any more
        for node, states in by_node.items():
            if node not in self._asked:
                self._send_to(node, states)

    def _send_to(self, node: int, states: list[FetchState]) -> None:
        connection = self._connected(node)
        if connection is None:
            return
        # A broker fills its answer from the front, and one with nothing in it holds at least one batch.
        states.sort(key=lambda state: state.served)
        share = self._limits.bytes_max // max(1, len(self._connections))
        each = max(share // len(states), min(share, self._limits.partition_bytes_max), PARTITION_BYTES_MIN)
        limits = Limits(self._limits.wait_ms, share, each)
        try:
            connection.send(FETCH, fetch_request([state.wanted() for state in states], limits))
        except ConnectionTrouble as error:
            self._failed(node, error)
            return
        self._asked[node] = {state.partition: state.generation for state in states}
        self._heard[node] = self._monotonic(), connection.progress

    def _receive(self, node: int, connection: BrokerConnection) -> None:
        try:
            reader = connection.receive()
            if reader is None:
                self._notice_progress(node, connection)
                return
            answers = read_fetch(reader)
        except ConnectionTrouble as error:
            self._failed(node, error)
            return
        self._down.pop(node, None)
        asked = self._asked.pop(node)
        self._rounds += 1
        for answer in answers:
            state = self._states.get(answer.partition)
            if state is not None and asked.get(answer.partition) == state.generation:
                self._take(state, answer)
        self._send()

    def _take(self, state: FetchState, answer: Answer) -> None:
        where = f"{state.partition.topic}/{state.partition.partition}"
        if answer.error in (KafkaError.NO_ERROR, KafkaError.OFFSET_OUT_OF_RANGE):
            before = state.position
            try:
                arrived = state.take(answer)
            except BatchDamaged as error:
                raise SourceError(
                    f"reading {where} from offset {state.position}: {error}; are network and disk sound?"
                ) from error
            if arrived is not None:
                self._arrived.append(arrived)
            if state.position > before:
                state.served = self._rounds
        elif answer.error in STALE:
            self._stale(state)
            if answer.error == KafkaError.UNKNOWN_TOPIC_OR_PART:
                self._warn(f"Kafka has no {where} (any more, or yet)")
        elif answer.error == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            state.retry_s = self._monotonic() + DENIED_RETRY_S
            self._denied(state.partition)
        else:
            told = KafkaError(answer.error).str()
            raise SourceError(f"fetching {where} from offset {state.position}: {told}; check the topic, the broker")

    def _stale(self, state: FetchState) -> None:
        """Have the leader looked up before the partition is asked for again."""
        state.leader = NOBODY

    # -- leaders -----------------------------------------------------------------------------------------------------

    def _look_up_leaders(self) -> None:
        """Ask who leads the partitions whose leader is not known, when it is time to."""
        now = self._monotonic()
        lost = [state for state in self._states.values() if state.leader.node < 0 and not state.stopped]
        if not lost or now < self._next_metadata_s:
            return
        self._next_metadata_s = now + self._metadata_pause_s
        self._metadata_pause_s = min(2 * self._metadata_pause_s, RETRY_S_MAX)
        try:
            cluster = self._ask_leaders(sorted({state.partition.topic for state in lost}))
        except ConnectionTrouble as error:
            self._warn(f"asking Kafka who leads partitions: {error}")
            self._forget_metadata_connection()
            return
        self._brokers = cluster.brokers
        for state in lost:
            state.leader = cluster.leaders.get(state.partition, NOBODY)
            if cluster.errors.get(state.partition.topic) == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                self._denied(state.partition)
        if all(state.leader.node >= 0 for state in lost):
            self._metadata_pause_s = RETRY_S

    def _ask_leaders(self, topics: list[str]) -> Cluster:
        """Ask any broker. Raises ConnectionTrouble."""
        if self._asking is not None:
            try:
                return read_metadata(self._asking.ask(METADATA, metadata_request(topics)))
            except ConnectionTrouble:
                self._forget_metadata_connection()  # brokers close connections on which nothing comes for long
        return read_metadata(self._metadata_connection().ask(METADATA, metadata_request(topics)))

    def _metadata_connection(self) -> BrokerConnection:
        """Return a connection to any broker. Raises ConnectionTrouble."""
        if self._asking is None:
            places = list(dict.fromkeys([*self._bootstrap, *self._brokers.values()]))
            for at, broker in enumerate(places, 1):
                try:
                    self._asking = self._connect(broker)
                    break
                except ConnectionTrouble:
                    if at == len(places):
                        raise
        if self._asking is None:
            raise ConnectionError("no broker is known")
        return self._asking

    def _forget_metadata_connection(self) -> None:
        if self._asking is not None:
            self._asking.close()
            self._asking = None

    # -- connections -------------------------------------------------------------------------------------------------

    def _connected(self, node: int) -> BrokerConnection | None:
        if node in self._connections:
            return self._connections[node]
        broker = self._brokers.get(node)
        if broker is None or self._monotonic() < self._down.get(node, (0.0, 0.0))[0]:
            return None
        try:
            self._connections[node] = self._connect(broker)
        except ConnectionTrouble as error:
            self._failed(node, error)
            return None
        return self._connections[node]

    def _failed(self, node: int, error: BaseException) -> None:
        """Give a connection up, wait before the next, and ask who leads its partitions now."""
        broker = self._brokers.get(node)
        where = f"{broker.host}:{broker.port}" if broker is not None else f"node {node}"
        self._warn(f"fetching from Kafka's broker at {where}: {error}")
        self._drop(node)
        _, pause = self._down.get(node, (0.0, RETRY_S))
        self._down[node] = self._monotonic() + pause, min(2 * pause, RETRY_S_MAX)
        for state in self._states.values():
            if state.leader.node == node:
                self._stale(state)

    def _drop(self, node: int) -> None:
        connection = self._connections.pop(node, None)
        if connection is not None:
            connection.close()
        self._asked.pop(node, None)
        self._heard.pop(node, None)

    def _notice_progress(self, node: int, connection: BrokerConnection) -> None:
        now = self._monotonic()
        since, progress = self._heard[node]
        if progress != connection.progress:
            self._heard[node] = now, connection.progress
        elif now - since > SILENCE_S_MAX:
            self._failed(node, TimeoutError(f"no answer in {SILENCE_S_MAX:.0f} s"))

    def _is_silent(self, node: int, connection: BrokerConnection) -> bool:
        since, progress = self._heard[node]
        return progress == connection.progress and self._monotonic() - since > SILENCE_S_MAX


def _readable(connections: Collection[BrokerConnection], timeout_s: float) -> set[int]:
    poll = select.poll()
    for connection in connections:
        poll.register(connection.fileno(), select.POLLIN)
    return {number for number, _ in poll.poll(1000 * timeout_s)}
