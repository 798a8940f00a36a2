"""Settings of librdkafka that a person wrote as JSON."""

import pytest

from headrace.producer.kafka_settings import settings_from_json


def test_an_object_of_settings_is_taken() -> None:
    """Texts, numbers, true and false are what librdkafka takes."""
    assert settings_from_json('{"acks": "all", "linger.ms": 5, "check.crcs": true}', "X") == {
        "acks": "all",
        "linger.ms": 5,
        "check.crcs": True,
    }


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 50_000, "[[1, 2]]", '"a"', "null", "{", '{"a": null}', '{"a": {}}', '{"a": [1]}']
)
def test_anything_else_is_refused(text: str) -> None:
    """What is no object of settings is a ValueError that names where it stands, however deep it is nested."""
    with pytest.raises(ValueError, match="HERE"):
        settings_from_json(text, "HERE")
