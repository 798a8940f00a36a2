"""What is news: firing once, still firing each so often, resolved once; nothing of it again when it is found again."""

from alert_kit import MINUTE_US, START_US, transition

from headrace.monitor.alerts_event import Told
from headrace.monitor.alerts_memory import AlertMemory, Noticed
from headrace.monitor.transition import Transition

EVERY_US = 60 * MINUTE_US
DAY = [
    transition("firing", 5),
    *(transition("still_firing", minute) for minute in range(6, 130)),
    transition("resolved", 130),
    transition("firing", 300),
    transition("resolved", 302),
]


def tell(memory: AlertMemory, found: list[Transition]) -> list[tuple[str, int]]:
    told: list[tuple[str, int]] = []
    for each in found:
        news = memory.news(each)
        if isinstance(news, Told):
            memory.observe(news)
            told.append((news.transition.state, (news.transition.window_end_us - START_US) // MINUTE_US))
    return told


def test_an_alert_is_told_thrice_and_not_each_minute() -> None:
    """Once when it begins, each hour while it goes on, once when it is over; with the moment at which it began."""
    memory = AlertMemory(still_every_us=EVERY_US)
    assert tell(memory, DAY) == [
        *(("firing", 5), ("still_firing", 65), ("still_firing", 125), ("resolved", 130)),
        *(("firing", 300), ("resolved", 302)),
    ]


def test_what_is_found_again_is_no_news() -> None:
    """The whole day again, from any point and in the same memory: nothing is told."""
    for start in range(len(DAY)):
        memory = AlertMemory(still_every_us=EVERY_US)
        tell(memory, DAY)
        assert tell(memory, DAY[start:]) == []


def test_a_restart_in_the_middle_tells_the_rest_once() -> None:
    """Wherever it is cut: a memory fed from the topic, and all transitions since an earlier one again, make one day."""
    whole = tell(AlertMemory(still_every_us=EVERY_US), DAY)
    for cut in range(1, len(DAY)):
        first, topic = AlertMemory(still_every_us=EVERY_US), list[Told]()
        for each in DAY[:cut]:
            news = first.news(each)
            if isinstance(news, Told):
                first.observe(news)
                topic.append(news)
        second = AlertMemory(still_every_us=EVERY_US)
        for told in topic:
            second.observe(told)
        before = [(each.transition.state, (each.transition.window_end_us - START_US) // MINUTE_US) for each in topic]
        assert before + tell(second, DAY[max(0, cut - 20) :]) == whole


def test_a_state_that_was_lost_makes_no_second_firing() -> None:
    """The evaluator forgot that the alert fires, and says so anew: it goes on, and is told by the hour."""
    memory = AlertMemory(still_every_us=EVERY_US)
    assert tell(memory, [transition("firing", 0), transition("firing", 10), transition("firing", 70)]) == [
        ("firing", 0),
        ("still_firing", 70),
    ]


def test_an_end_without_a_beginning_is_not_told() -> None:
    """What is not known to fire does not end; one that goes on is told as firing."""
    memory = AlertMemory(still_every_us=EVERY_US)
    assert memory.news(transition("resolved")) == "unknown"
    assert tell(memory, [transition("still_firing", 3)]) == [("firing", 3)]


def test_what_is_read_late_does_not_undo_an_end() -> None:
    """Another thread reads the topic meanwhile: of one window the end stands, in whatever order both are noted."""
    memory = AlertMemory(still_every_us=EVERY_US)
    ended = Told.of(transition("resolved", 3), START_US)
    assert memory.observe(ended)
    assert not memory.observe(Told.of(transition("firing", 3), START_US))
    assert not memory.observe(Told.of(transition("firing", 2), START_US))
    assert memory.firing() == []


def test_alerts_of_other_labels_are_others() -> None:
    """Each group of a rule has its own alert."""
    memory = AlertMemory(still_every_us=EVERY_US)
    other = transition("firing", 0, labels={"service": "api"})
    assert len(tell(memory, [transition("firing", 0), other, transition("resolved", 1)])) == 3
    assert [each.transition.labels for each in memory.firing()] == [{"service": "api"}]


def test_memory_is_bounded() -> None:
    """The alert that was told of longest ago is forgotten first."""
    memory = AlertMemory(still_every_us=EVERY_US, known_max=3)
    told = [Told.of(transition(labels={"n": str(n)}), START_US) for n in range(5)]
    for each in told:
        memory.observe(each)
    assert [each.transition.labels["n"] for each in memory.firing()] == ["2", "3", "4"]
    noticed = Noticed(age_us_max=MINUTE_US, known_max=3)
    for each in told:
        noticed.for_people(each, START_US)
    assert [noticed.knows(each.fingerprint) for each in told] == [False, False, True, True, True]


def test_the_past_wakes_nobody() -> None:
    """An alert of hours ago that is over is told to nobody; one that goes on is told as firing when it is recent."""
    noticed = Noticed(age_us_max=15 * MINUTE_US)
    now_us = START_US + 240 * MINUTE_US

    def told(state: str, minute: int) -> Told:
        return Told.of(transition(state, minute), START_US)  # type: ignore[arg-type]

    assert noticed.for_people(told("firing", 0), now_us) is None
    assert noticed.for_people(told("resolved", 9), now_us) is None
    assert noticed.for_people(told("firing", 20), now_us) is None
    recent = noticed.for_people(told("still_firing", 230), now_us)
    assert recent is not None
    assert recent.transition.state == "firing"
    assert noticed.for_people(told("still_firing", 238), now_us) == told("still_firing", 238)
    assert noticed.for_people(told("resolved", 100), now_us) == told("resolved", 100)
    assert noticed.for_people(told("resolved", 101), now_us) is None
