"""The rules' charts in a real browser: what fires and fired, whatever they are called, honest when there is nothing."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from browser import Browser, browsing
from dashboard_scene import NOW_MS, calm, shown
from house.tree import ROOT
from monitor_scene import MINUTES, NOW_US, RULES, SHOTS, mark, points, rules_drawn, source, written
from scraping import get

from headrace.cli.address import Address
from headrace.cli.dashboard_monitor import charts_json, monitor_source, no_monitor
from headrace.cli.serving import Page, serving
from headrace.monitor.alerts_charts import Charts
from headrace.monitor.alerts_points import PointStore

EVIL = "<img src=x onerror='window.pwned=1'><script>window.pwned=1</script>\"&amp;\u202e"
SHOWN = "onerror='window.pwned=1'"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as started:
        yield started


@pytest.fixture(autouse=True)
def no_complaints(browser: Browser) -> Iterator[None]:
    """Nothing is refused by the page's own rules, nothing throws."""
    browser.look(1180, 980)
    yield
    complaints, browser.complaints = browser.complaints, []
    assert [each for each in complaints if "net::ERR_" not in each] == []


def text(browser: Browser, selector: str) -> str:
    return str(browser.ask(f"document.querySelector({json.dumps(selector)}).innerText"))


def test_what_fires_is_first_and_says_since_when(browser: Browser) -> None:
    """A card a group: the one that fires at the top with its message; lines, band, firing times and marks in each."""
    with written() as path, shown(calm(), source(path)) as url:
        rules_drawn(browser, url)
        assert "1 of 4 firing, written 5 s ago" in text(browser, "#rules h2")
        heads = browser.ask("[...document.querySelectorAll('.rule h2')].map((each) => each.innerText)")
        assert heads[0] == "failed-logins firing, critical"
        assert sorted(heads[1:]) == [
            *(f"error-rate: service {service} quiet" for service in ("api", "feed", "web")),
            *("feed-loads quiet", "new-error quiet"),
        ]
        assert "20% of log-ins failed; 2% to 9% are usual at this hour (27 min 9 s ago)" in text(
            browser, ".rule.firing"
        )
        assert "No window has closed yet." in text(browser, "#rules .charts .rule:last-child")
        count = "document.querySelectorAll('{}').length"
        assert browser.ask(count.format(".rule path.line")) == browser.ask(count.format(".rule path.band")) == 5
        assert browser.ask(count.format(".rule rect.fired")) == 2
        flags = "[...document.querySelectorAll('.rule .flag')].map((each) => each.textContent)"
        assert browser.ask(flags) == ["▲", "▲", "✓"]
        label = browser.ask("document.querySelector('.rule.firing svg').getAttribute('aria-label')")
        assert re.fullmatch(r"failed-logins: 0\.794 now, expected 0\.\d+ to 0\.\d+, firing; fired 1 times", label)


def test_the_line_is_where_the_values_are(browser: Browser) -> None:
    """The feed's outage is drawn at the bottom of its chart, between its marks; hovering names time and value."""
    with written() as path, shown(calm(), source(path)) as url:
        rules_drawn(browser, url)
        feed = "[...document.querySelectorAll('.rule')].find((each) => each.innerText.startsWith('feed-loads'))"
        lines = browser.ask(f"{feed}.querySelector('path.line').getAttribute('d')")
        at = [tuple(map(float, pair.split())) for pair in lines[1:].split(" L")]
        down = [x for x, y in at if y == 130.0]
        assert 500 * 119 / MINUTES < min(down) < max(down) < 500 * 150 / MINUTES
        box = browser.ask(f"JSON.parse(JSON.stringify({feed}.querySelector('svg').getBoundingClientRect()))")
        middle = (min(down) + max(down)) / 2 / 500
        where = {"clientX": box["x"] + box["width"] * middle, "clientY": box["y"] + 5}
        browser.ask(f"{feed}.querySelector('svg').dispatchEvent(new PointerEvent('pointermove', {json.dumps(where)}))")
        assert re.search(
            r"\d\d:\d\d +0, expected \d+ to ", str(browser.ask(f"{feed}.querySelector('.at').textContent"))
        )


def test_names_and_messages_are_text(browser: Browser) -> None:
    """Whatever a rule, a group, a message or a severity holds, it is shown as it is, and does nothing."""

    def evil(store: PointStore) -> None:
        store.rules({EVIL: (EVIL, EVIL)})
        store.points(points(EVIL, 5, 1, service=EVIL, odd={MINUTES - 1: 9.0}))
        store.marks([mark(EVIL, "firing", MINUTES - 1, EVIL, service=EVIL)])

    with written((evil,)) as path, shown(calm(), source(path)) as url:
        rules_drawn(browser, url)
        assert browser.ask("document.querySelectorAll('main img, main script, main iframe').length") == 0
        assert browser.ask("window.pwned === undefined")
        for place in ("#rules h2", ".rule h2", ".rule .told", ".rule .about", ".rule .chip"):
            assert SHOWN in text(browser, place if place != "#rules h2" else "#rules .charts h2"), place
        assert "\\u202e" in text(browser, ".rule h2")
        assert SHOWN in browser.ask("document.querySelector('.flag').title")


@pytest.mark.parametrize(
    ("late_s", "rules", "said"),
    [(9.0, True, ""), (900.0, True, "What follows is 14 min 56 s old"), (9.0, False, "The monitor runs without rules")],
)
def test_an_empty_or_old_file_is_said(browser: Browser, late_s: float, rules: bool, said: str) -> None:
    """The past is not shown as the present, and no rules are not calm."""
    with written(rules=rules) as path:
        if not rules:
            with closing(sqlite3.connect(path)) as sql, sql:
                sql.execute("INSERT INTO meta VALUES ('written_us', ?)", (NOW_US,))
        with shown(calm(), source(path, late_s)) as url:
            rules_drawn(browser, url)
            assert said in text(browser, "#rules")
            assert bool(said) == bool(browser.ask("document.querySelectorAll('#rules > p').length"))


def test_no_file_or_one_that_cannot_be_read_is_said(browser: Browser, tmp_path: Path) -> None:
    """With the path and what to do; the rest of the page is there."""
    with shown(calm(), monitor_source(str(tmp_path / "none.sqlite"))) as url:
        rules_drawn(browser, url)
        assert f"No monitor has written here yet: {tmp_path}/none.sqlite is not there" in text(browser, "#rules")
        assert text(browser, ".answer") == "No"
    (tmp_path / "odd.sqlite").write_bytes(b"odd" * 1000)
    with shown(calm(), monitor_source(str(tmp_path / "odd.sqlite"))) as url:
        rules_drawn(browser, url)
        assert f"cannot be read: {tmp_path}/odd.sqlite" in text(browser, "#rules")


def test_without_a_monitor_nothing_is_shown(browser: Browser) -> None:
    """The page is as it was."""
    with shown(calm()) as url:
        rules_drawn(browser, url)
        assert browser.ask("document.getElementById('rules').children.length") == 0


def test_the_rules_come_from_a_monitor_over_http(browser: Browser) -> None:
    """A monitor in another container serves the same; one that is away or odd is said."""
    with written() as path:
        served = Page("application/json", source(path))
        with serving(Address("127.0.0.1", 0), {"/charts.json": served}) as at:
            read = monitor_source(f"{at.url}/charts.json")
            with shown(calm(), read) as url:
                rules_drawn(browser, url)
                assert "1 of 4 firing" in text(browser, "#rules h2")
            assert json.loads(monitor_source(f"{at.url}/other.json")())["problem"].endswith("it answered 404")
        gone = json.loads(read())
        assert (gone["state"], gone["rules"]) == ("unreadable", [])
    odd = Page("application/json", lambda: b'{"version": 7}')
    with serving(Address("127.0.0.1", 0), {"/charts.json": odd}) as at:
        assert "not a monitor's" in json.loads(monitor_source(f"{at.url}/charts.json")())["problem"]
    with pytest.raises(ValueError, match="--monitor: leave user and password out"):
        monitor_source("http://u:p@h/charts.json")


def test_an_answer_that_cannot_be_drawn_is_said(browser: Browser) -> None:
    """A monitor of another make: the section says so, the page goes on."""
    broken = json.loads(charts_json(Charts("there"), NOW_MS)) | {"rules": [{"rule": 1, "series": 7}]}
    with shown(calm(), lambda: json.dumps(broken).encode()) as url:
        rules_drawn(browser, url)
        browser.until("document.getElementById('rules').innerText.includes('cannot be drawn')")
        assert text(browser, ".answer") == "No"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_shows_all_of_it(browser: Browser, *, dark: bool) -> None:
    """Nothing is wider than the phone, no text is small, in both schemes."""
    browser.look(360, 740, mobile=True, dark=dark)
    with written() as path, shown(calm(), source(path)) as url:
        rules_drawn(browser, url)
        assert browser.ask("document.documentElement.scrollWidth <= 360")
        small = "[...document.querySelectorAll('#rules *')].some((e) => parseFloat(getComputedStyle(e).fontSize) < 12)"
        assert not browser.ask(small)
        ground = browser.ask("getComputedStyle(document.querySelector('.rule')).backgroundColor")
        assert ground == ("rgb(24, 32, 39)" if dark else "rgb(255, 255, 255)")


def test_a_day_of_many_rules_is_small() -> None:
    """50 rules of 6 groups each with 6 hours of minutes: what the page gets is bounded, whatever the rules are."""

    def many(store: PointStore) -> None:
        store.rules({f"rule-{n}": ("warning", "") for n in range(50)})
        day = points("x", 840, 60, odd={})
        for n in range(50):
            store.points([replace(each, rule=f"rule-{n}", labels={"g": str(g)}) for each in day for g in range(6)])

    with written((many,)) as path, serving(
        Address("127.0.0.1", 0), {"/monitor.json": Page("application/json", source(path))}
    ) as at:  # fmt: skip
        body = get(f"{at.url}/monitor.json").body
        assert len(body) < 1_500_000
        assert {(each["groups"], len(each["series"])) for each in json.loads(body)["rules"]} == {(6, 2)}


def test_no_monitor_says_off() -> None:
    """The page asks once and never again."""
    assert json.loads(no_monitor())["state"] == "off"


def test_the_scene_has_the_rules_that_it_shows() -> None:
    """The pictures of the documentation are small, and of these rules."""
    assert set(RULES) == {"failed-logins", "feed-loads", "error-rate", "new-error"}
    for name, *_ in SHOTS:
        assert 10_000 < (ROOT / "docs" / name).stat().st_size < 150_000
