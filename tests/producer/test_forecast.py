"""When a bound would be reached, from how fast things grow."""

import math

from headrace.producer.forecast import CLASSES, Forecast, Level


def level(left: float, *rising: float, classes: tuple[str, ...] = ("low",)) -> list[Level]:
    return [Level(classes, left, rising)]


def test_what_does_not_grow_is_never_full() -> None:
    """One look, an unchanged level and a falling one all mean never: infinite, and no division by zero."""
    forecast = Forecast()
    assert forecast.add(0, level(100, 0)) == {"low": math.inf}
    assert forecast.add(10, level(100, 0)) == {"low": math.inf}
    assert forecast.add(20, level(100, -5)) == {"low": math.inf}


def test_growth_is_carried_on() -> None:
    """100 left at 4 a second are 25 seconds."""
    forecast = Forecast()
    forecast.add(0, level(140, 0))
    assert forecast.add(10, level(100, 40)) == {"low": 25.0}


def test_only_the_last_half_minute_counts() -> None:
    """Growth that ended longer ago than the window is forgotten."""
    forecast = Forecast(window_s=30)
    forecast.add(0, level(200, 0))
    assert forecast.add(10, level(100, 100))["low"] == 10.0
    for second in range(11, 41):
        last = forecast.add(second, level(100, 100))
    assert last == {"low": math.inf}


def test_a_bound_that_is_reached_is_zero() -> None:
    """Nothing left means now, whatever grows."""
    assert Forecast().add(0, level(0, 5)) == {"low": 0.0}
    assert Forecast().add(0, level(-3, 5)) == {"low": 0.0}


def test_the_nearest_bound_of_a_class_counts() -> None:
    """Of several bounds each class has its nearest one; of what rises towards a bound the fastest counts."""
    forecast = Forecast()
    forecast.add(0, [Level(CLASSES, 1000, (0, 0)), Level(("high",), 50, (0,))])
    found = forecast.add(10, [Level(CLASSES, 1000, (0, 100)), Level(("high",), 50, (10,))])
    assert found == {"low": 100.0, "normal": 100.0, "high": 50.0}


def test_asking_often_neither_blinds_nor_grows_it() -> None:
    """Asked a hundred times a second it still sees slow growth, and keeps a bounded number of looks."""
    forecast = Forecast(window_s=30)
    for step in range(6000):
        last = forecast.add(step / 100, level(1000, step / 100))
    assert 990 < last["low"] < 1010
    assert len(forecast._seen) < 130
