"""The page in a real browser: what a person sees, whatever names and errors say, on a phone and in the dark."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from browser import Browser, browsing
from dashboard_scene import NOW_MS, SHOTS, Scene, calm, drawn, news, night, partition, shown
from house.tree import ROOT
from scraping import get

from headrace.archiver.kafka_admin import LogEnds
from headrace.archiver.oncall.heartbeat import Heartbeat
from headrace.archiver.oncall.looking import Sample, Trouble
from headrace.archiver.oncall.topic_news import GapNews
from headrace.archiver.oncall.whole import Account, Whole
from headrace.cli.dashboard_data import POINTS_MAX, page_json

CSS = (ROOT / "cli" / "dashboard_page" / "page.css").read_text()
EVIL = "<img src=x onerror='window.pwned=1'><script>window.pwned=1</script>\"&amp;"


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
    assert [each for each in complaints if "net::ERR_" not in each] == []  # the server of a test that is over


def text(browser: Browser, selector: str) -> str:
    return str(browser.ask(f"document.querySelector({json.dumps(selector)}).innerText"))


def lost() -> Scene:
    scene = calm()
    scene.facts[0] = replace(scene.facts[0], durable=10, ends=LogEnds(500, 900, 900))
    return scene


def silent() -> Scene:
    scene = calm()
    scene.problem = "s3: AccessDenied"
    return scene


def nothing() -> Scene:
    return Scene([], (), Whole(), {})


@pytest.mark.parametrize(
    ("scene", "answer", "verdict"),
    [
        (calm, "No", "ok"),
        (night, "Yes, in 42 min", "critical"),
        (lost, "Some was lost", "critical"),
        (silent, "Cannot tell", "cannot-tell"),
        (nothing, "No", "ok"),
    ],
)
def test_the_first_line_answers_the_question(
    browser: Browser, scene: Callable[[], Scene], answer: str, verdict: str
) -> None:
    """Is data about to be lost: in the largest words, in the colour of the band, and in the tab's title."""
    with shown(scene()) as url:
        drawn(browser, url)
        assert text(browser, ".answer") == answer
        assert browser.ask("document.getElementById('verdict').className") == verdict
        assert answer in str(browser.ask("document.title"))
        size = "parseFloat(getComputedStyle(document.querySelector('.answer')).fontSize)"
        assert browser.ask(f"{size} >= 26")


def test_the_page_says_what_lag_says(browser: Browser) -> None:
    """Findings with step and commands, topics worst first, partitions of an opened topic, workers, queues, errors."""
    scene = night()
    status = scene.status()
    with shown(scene) as url:
        drawn(browser, url)
        browser.ask("document.querySelectorAll('details').forEach((each) => { each.open = true })")
        found = text(browser, "#findings")
        for rule in {each.rule for each in status.findings}:
            assert rule in found
        assert status.findings[0].evidence in found
        assert status.findings[0].commands[0] in found
        rows = "[...document.querySelectorAll('.topic-row .topic')].map((each) => each.innerText.trim())"
        assert browser.ask(rows) == list(dict.fromkeys(each.facts.where.topic for each in status.lags))
        browser.ask("document.querySelector('.topic-row button').click()")
        opened = text(browser, ".inner")
        assert f"{status.lags[0].facts.durable:,}" in opened
        assert "archive-1:3102:0 (silent)" in opened
        assert browser.ask("location.hash") == "#pin"
        assert "4111:0" in text(browser, "#workers")
        assert "web-3" in text(browser, "#spools")
        assert "ExpiredToken" in text(browser, "#troubles")
        assert "18,001 to 18,044" in text(browser, "#gaps")
        assert "✓" in str(browser.ask("getComputedStyle(document.querySelector('.date.sealed'), '::before').content"))
        assert "2,100" in text(browser, "#commits")


def test_names_and_errors_are_text(browser: Browser) -> None:
    """Whatever a topic, worker, service, host, reason or error is called: it is shown as it is, and does nothing."""
    scene = calm()
    beat = Heartbeat(EVIL, NOW_MS - 1000, 10, 0, EVIL, NOW_MS - 9000)
    scene.facts = [partition(EVIL, 0, 10, behind=4, heartbeat=beat, problem=""), partition("b", 0, 5, problem=EVIL)]
    scene.news = (replace(news(EVIL, 7, 5, gaps=(GapNews(0, 1, 2, EVIL),)), sealed=(EVIL,)),)
    scene.whole = Whole((), (Account(EVIL, EVIL, EVIL, "00", True, False, False, NOW_MS, 9, 1, 2, 0, 0, 5.0),))
    scene.told = [Trouble(EVIL, EVIL, NOW_MS, NOW_MS)]
    with shown(scene) as url:
        drawn(browser, f"{url}/#{EVIL.replace(' ', '%20')}")
        assert browser.ask("document.querySelectorAll('main img, main script, main iframe').length") == 0
        assert browser.ask("window.pwned === undefined")
        for place in ("#findings", "#topics", "#commits", "#workers", "#spools", "#gaps", "#troubles", "#dates"):
            assert "onerror='window.pwned=1'" in text(browser, place), place


@pytest.mark.parametrize("scene", [calm, night])
def test_a_phone_shows_all_of_it(browser: Browser, scene: Callable[[], Scene]) -> None:
    """Nothing is wider than the phone but tables that scroll by themselves; the answer is on the first screen."""
    browser.look(360, 740, mobile=True)
    with shown(scene()) as url:
        drawn(browser, url)
        browser.ask("document.querySelector('.topic-row button').click()")
        assert browser.ask("document.documentElement.scrollWidth <= 360")
        assert browser.ask("document.querySelector('.answer').getBoundingClientRect().bottom < 400")
        small = "[...document.querySelectorAll('main *')].some((e) => parseFloat(getComputedStyle(e).fontSize) < 12)"
        assert not browser.ask(small)


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_can_be_read(browser: Browser, *, dark: bool) -> None:
    """Every text colour on every ground that it stands on has a contrast of at least 4.5, in both schemes."""
    block = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)[int(dark)]
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})(?=[;\w])", block))
    for word in ("ok", "warning", "critical", "unknown"):
        assert contrast(colours[word], colours[f"{word}-ground"]) >= 4.5, word
        assert contrast(colours["ink"], colours[f"{word}-ground"]) >= 4.5, word
        assert contrast(colours["soft"], colours[f"{word}-ground"]) >= 4.5, word
    for ground in ("ground", "card", "shade"):
        for ink in ("ink", "soft", "water", "critical"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    browser.look(800, 600, dark=dark)
    with shown(calm()) as url:
        drawn(browser, url)
        red, green, blue = map(int, re.findall(r"\d+", browser.ask("getComputedStyle(document.body).backgroundColor")))
        assert f"#{red:02x}{green:02x}{blue:02x}" == colours["ground"]


def test_an_old_look_is_said_to_be_old(browser: Browser) -> None:
    """When its server does not look any more, the page says so instead of showing the past as the present."""
    scene = calm()
    scene.every_s = 0.1
    with shown(scene) as url:
        drawn(browser, url)
        assert "looked" in text(browser, "#asof")
        browser.until("document.body.classList.contains('stale')")
        assert "does not answer" in text(browser, "#asof")


def test_the_page_loads_nothing_from_elsewhere() -> None:
    """Five small files, two of data; no address of any other host in them."""
    with shown(calm()) as url:
        for path in ("/", "/page.css", "/page.js", "/chart.js", "/monitor.js", "/status.json", "/monitor.json"):
            answer = get(url + path)
            assert answer.status == 200
            found = set(re.findall(rb"https?://[^\s\"'`]+", answer.body))
            assert found <= {b"http://www.w3.org/2000/svg"}, path
            assert len(answer.body) < 60_000


def test_long_histories_are_thinned_to_the_worst() -> None:
    """At most so many points; a short peak between them is kept, and the newest point is the last."""
    scene = calm()
    samples = [Sample(n * 1000, 10, 1.0, None) for n in range(360)]
    samples[101] = Sample(101_000, 999, 77.0, None)
    body = page_json(scene.status(), {"pin": samples}, [], 10.0)
    points = next(each for each in json.loads(body)["topics"] if each["name"] == "pin")["history"]
    assert len(points) <= POINTS_MAX
    assert points[-1][0] == 359_000
    assert max(point[1] for point in points) == 999


@pytest.mark.parametrize("name", [shot[0] for shot in SHOTS])
def test_pictures_of_the_page_are_small(name: str) -> None:
    """The documentation's screenshots are there, and none has over 150 kB."""
    assert 10_000 < (ROOT / "docs" / name).stat().st_size < 150_000
