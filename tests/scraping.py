"""Reads what is served over HTTP: pages with any Host header, and metrics as samples."""

import http.client
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

Samples = dict[str, dict[tuple[str, ...], float]]


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def get(url: str, *, host: str | None = None, method: str = "GET") -> Answer:
    """Ask for a page; `host` is the Host header to send."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, headers={} if host is None else {"Host": host})
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


def samples_of(text: str) -> Samples:
    """Return the samples of an exposition: by name, then by label values in the order of their names."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def scrape(url: str) -> Samples:
    """Return the samples at an address."""
    answer = get(url)
    assert answer.status == 200, answer
    return samples_of(answer.body.decode())
