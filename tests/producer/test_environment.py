"""Settings that a person wrote into the environment as JSON."""

import pytest

from headrace.producer.environment import settings_from


def test_an_object_of_settings_is_taken() -> None:
    """Texts, numbers, true and false are what librdkafka takes."""
    made = settings_from({"HEADRACE_KAFKA_CONFIG": '{"acks": "all", "linger.ms": 5, "check.crcs": true}'})
    assert made["kafka_config"] == {"acks": "all", "linger.ms": 5, "check.crcs": True}


@pytest.mark.parametrize("text", ['{"pin": {}}', '{"pin": null}', '{"pin": "highest"}', "[]"])
def test_a_class_that_is_none_is_refused(text: str) -> None:
    """Classes of the spool are texts, whatever the JSON holds."""
    with pytest.raises(ValueError, match="HEADRACE_SPOOL"):
        settings_from({"HEADRACE_SPOOL_CLASSES": text})


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 50_000, "[[1, 2]]", '"a"', "null", "{", '{"a": null}', '{"a": {}}', '{"a": [1]}'],
    ids=lambda text: text[:12],
)
def test_anything_else_is_refused(text: str) -> None:
    """What is no object of settings is a ValueError that names the variable, however deep it is nested."""
    with pytest.raises(ValueError, match="HEADRACE_KAFKA_CONFIG"):
        settings_from({"HEADRACE_KAFKA_CONFIG": text})
