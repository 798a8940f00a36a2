"""Labels for personal data: their rules, what looks as if it needed one, and what labelled fields of a class do."""

import json
import pickle
import re
import traceback
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from house.tree import ROOT
from team_schemas import classes_of, enum, field, record, write

from headrace.cli.schema import command
from headrace.schemas import InvalidEvent
from headrace.schemas.canonical import fingerprint, wire_text
from headrace.schemas.catalog import builtin_folder
from headrace.schemas.event import Envelope
from headrace.schemas.evolution import check, compare, warnings
from headrace.schemas.folder import read_folder
from headrace.schemas.frame import decode
from headrace.schemas.from_json import event_from_json
from headrace.schemas.personal import PersonalEvent
from headrace.schemas.release import release
from headrace.schemas.rules import violations_of

CANARY = "canary-5f1d"
TEXTS = {"type": "array", "items": "string"}
BY_NAME = {"type": "map", "values": "string"}


def null(avro_type: Any) -> Any:
    return ["null", avro_type]


def drop(name: str, avro_type: Any, **more: Any) -> dict[str, Any]:
    return field(name, avro_type, **{"headrace.pii": "drop"}, **more)


def hmac(name: str, avro_type: Any, **more: Any) -> dict[str, Any]:
    return field(name, avro_type, **{"headrace.pii": "hmac"}, **more)


SIGNUP = record(
    field("plan", enum("Plan", "FREE", "PAID")),
    hmac("email", "string"),
    hmac("device", null("bytes"), default=None),
    drop("phone", null("string"), default=None),
    drop("nicknames", TEXTS, default=[]),
    drop("answers", BY_NAME, default={}),
    drop("age", "int", default=-1),
    drop("sex", null(enum("Sex", "F", "M")), default=None),
    key="email",
)


def rules(schema: Any) -> list[tuple[str, str]]:
    return [(violation.field, violation.problem) for violation in violations_of("order.avsc", "order", schema)]


def test_good_labels_break_no_rule(tmp_path: Path) -> None:
    """Every label where it can be, and a reason where it must be."""
    write(tmp_path / "order.avsc", SIGNUP)
    assert check(read_folder(tmp_path)) == []
    assert rules(record(field("name", "string", **{"headrace.pii": "none", "headrace.pii_reason": "a shop's"}))) == []


@pytest.mark.parametrize(
    ("labelled", "said"),
    [
        (field("a", "string", **{"headrace.pii": "hash"}), "headrace.pii is 'hash'"),
        (field("a", "string", **{"headrace.pii": None}), "headrace.pii is None"),
        (field("a", "string", **{"headrace.pii": "none"}), "none without a reason"),
        (field("a", "string", **{"headrace.pii": "none", "headrace.pii_reason": " "}), "none without a reason"),
        (field("a", "string", **{"headrace.pii_reason": "x"}), "without headrace.pii"),
        (field("a", "string", **{"headrace.pi": "drop"}), "attribute 'headrace.pi' means nothing"),
        (drop("a", "string"), "no default"),
        (hmac("a", "long"), "hmac is for string and bytes, this is long"),
        (hmac("a", TEXTS, default=[]), "this is array of string"),
    ],
)
def test_labels_that_cannot_be_kept_are_refused(labelled: dict[str, Any], said: str) -> None:
    """A misspelt label, one without its reason, and one that the type cannot give are named."""
    assert any(name == "a" and said in problem for name, problem in rules(record(labelled)))


def test_a_key_cannot_be_dropped() -> None:
    """It may be hashed."""
    found = rules(record(drop("a", null("string"), default=None), key="a"))
    assert found == [("a", "the key cannot be dropped")]
    assert rules(record(hmac("a", "string"), key="a")) == []


def test_the_envelope_has_no_labels() -> None:
    """Its fields are filled in by headrace."""
    schema = record()
    schema["fields"][2] = {**schema["fields"][2], "headrace.pii": "hmac"}
    assert ("service", "the envelope's fields are filled in by headrace and have no label") in rules(schema)


def looks(name: str, avro_type: Any, folder: Path) -> str:
    """Say whether an unlabelled field is an error, a warning, or fine."""
    write(folder / "order.avsc", record(field(name, avro_type)))
    read = read_folder(folder)
    errors = [each for each in check(read) if each.rule == "pii"]
    told = errors + warnings(read)
    assert all((each.field, each.file) == (name, "order.avsc") for each in told)
    assert all('"headrace.pii": "none" with a "headrace.pii_reason"' in each.advice for each in told)
    return "error" if errors else "warning" if told else "fine"


@pytest.mark.parametrize(
    ("name", "avro_type", "is_a"),
    [
        ("email", "string", "error"),
        ("billing_email", null("string"), "error"),
        ("phone", "bytes", "error"),
        ("first_name", "string", "error"),
        ("username", "string", "error"),
        ("address", BY_NAME, "error"),
        ("ip", {"type": "fixed", "name": "Ip", "size": 4}, "error"),
        ("client_ip", "string", "error"),
        ("birth_date", "string", "error"),
        ("ssn", "string", "error"),
        ("names", TEXTS, "error"),
        ("phones", {"type": "array", "items": "long"}, "error"),
        ("phone", "long", "warning"),
        ("birthday", {"type": "int", "logicalType": "date"}, "warning"),
        ("latitude", "double", "warning"),
        ("comment", "string", "warning"),
        ("user_agent", null("string"), "warning"),
        ("search_query", "string", "warning"),
        ("user_id", "long", "fine"),
        ("shipping", "string", "fine"),
        ("recipe", "string", "fine"),
        ("tags", TEXTS, "fine"),
        ("name_count", "boolean", "fine"),
        ("gender", enum("Gender", "F", "M"), "fine"),
        ("message_count", "long", "fine"),
    ],
)
def test_what_looks_personal(name: str, avro_type: Any, is_a: str, tmp_path: Path) -> None:
    """Text that is named like personal data is an error, numbers named so and free text are warnings."""
    assert looks(name, avro_type, tmp_path) == is_a


def test_the_command_fails_on_what_looks_personal(tmp_path: Path) -> None:
    """`headrace schema check` ends with 1, naming file, field and both remedies; a warning alone ends with 0."""
    write(tmp_path / "order.avsc", record(field("email", "string"), field("comment", null("string"), default=None)))
    failed = CliRunner().invoke(command, ["check", str(tmp_path)])
    assert failed.exit_code == 1
    assert 'order.avsc: email: [pii] looks like personal data and has no label: label it "headrace.pii": hmac' in (
        failed.output
    )
    assert 'or "headrace.pii": "none" with a "headrace.pii_reason"' in failed.output
    write(tmp_path / "order.avsc", record(field("comment", null("string"), default=None)))
    passed = CliRunner().invoke(command, ["check", str(tmp_path)])
    assert passed.exit_code == 0
    assert "warning: order.avsc: comment: [pii] is free text" in passed.output
    assert "no rule broken, 1 warnings" in passed.output


def test_our_own_types_have_no_warnings() -> None:
    """We label our own free text."""
    assert warnings(read_folder(builtin_folder())) == []


def test_labels_change_neither_the_fingerprint_nor_the_published_text() -> None:
    """So a field that is out there can be labelled, and readers see no second text."""
    plain, labelled = record(field("email", "string")), record(hmac("email", "string"))
    assert fingerprint(plain) == fingerprint(labelled)
    assert wire_text(plain) == wire_text(labelled)


NONE = {"headrace.pii": "none", "headrace.pii_reason": "x"}


@pytest.mark.parametrize(
    ("older", "newer", "broken"),
    [
        ({}, {"headrace.pii": "hmac"}, []),
        (NONE, {"headrace.pii": "drop"}, []),
        ({"headrace.pii": "hmac"}, {"headrace.pii": "drop"}, []),
        ({}, NONE, []),
        (NONE, {}, []),
        ({"headrace.pii": "drop"}, {"headrace.pii": "hmac"}, ["is hmac, but was drop in a"]),
        ({"headrace.pii": "hmac"}, NONE, ["is none, but was hmac in a"]),
        ({"headrace.pii": "hmac"}, {}, ["has no label, but was hmac in a"]),
    ],
)
def test_protection_only_grows(older: dict[str, Any], newer: dict[str, Any], broken: list[str]) -> None:
    """A released field may be protected more, never less."""
    versions = [record(field("x", null("string"), default=None, **label)) for label in (older, newer)]
    assert [each.problem for each in compare("a", versions[0], "b", versions[1])] == broken


def test_a_label_is_a_release(tmp_path: Path) -> None:
    """Labelling a released field makes the next release, which stays, so that taking the label off is noticed."""
    plain = record(field("x", null("string"), default=None))
    write(tmp_path / "order.avsc", plain)
    assert release(read_folder(tmp_path)) == ["order/1.avsc"]
    write(tmp_path / "order.avsc", record(hmac("x", null("string"), default=None)))
    assert release(read_folder(tmp_path)) == ["order/2.avsc"]
    assert check(read_folder(tmp_path)) == []
    assert len(read_folder(tmp_path).texts()) == 1
    write(tmp_path / "order.avsc", plain)
    assert [(each.field, each.rule) for each in check(read_folder(tmp_path))] == [("x", "pii")]


def test_old_releases_need_no_label(tmp_path: Path) -> None:
    """A field that was released without a label before this rule can be labelled now, and the check passes."""
    write(tmp_path / "order.avsc", record(field("email", "string")))
    release(read_folder(tmp_path))
    assert [each.rule for each in check(read_folder(tmp_path))] == ["pii"]
    write(tmp_path / "order.avsc", record(hmac("email", "string")))
    assert check(read_folder(tmp_path)) == []


ENVELOPE = Envelope(service="s", host="h", session_id=bytes(16))


def value_of(event: Any) -> bytes:
    value = event.kafka_value(ENVELOPE, b"i" * 16, 1, 0, None)
    assert isinstance(value, bytes)
    return value


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return classes_of(tmp_path_factory.mktemp("signup"), SIGNUP).Order


PERSONAL: dict[str, Any] = {
    "email": f"{CANARY}@example.org", "device": CANARY.encode(), "phone": CANARY, "nicknames": [CANARY],
    "answers": {CANARY: CANARY}, "age": 41, "sex": "F",
}  # fmt: skip


def test_dropped_values_are_not_kept(order: Any) -> None:
    """What is labelled drop is null, or the default, from the beginning; given or not makes no difference."""
    event = order(plan="FREE", **PERSONAL)
    assert (event.phone, event.nicknames, event.answers, event.age, event.sex) == (None, (), {}, -1, None)
    assert event == order(plan="FREE", email=PERSONAL["email"], device=PERSONAL["device"])
    assert order.DROPPED == ("phone", "nicknames", "answers", "age", "sex")


def test_hashed_values_become_tokens(order: Any) -> None:
    """The event with tokens has them in its fields, its key and its value, and nothing of what they were made of."""
    event = order(plan="FREE", **PERSONAL)
    assert event.email == PERSONAL["email"]
    made = event.with_tokens(lambda raw: f"k1:{len(raw)}")
    assert (made.email, made.device, made.plan) == ("k1:23", b"k1:11", "FREE")
    assert made.kafka_key("s") == b"k1:23"
    assert CANARY.encode() not in value_of(made)
    assert decode(value_of(made), {order.FINGERPRINT: order.SCHEMA})["email"] == "k1:23"
    assert made.with_tokens(lambda _: "never") is made
    assert order(plan="FREE", email="").with_tokens(lambda _: "k1:empty").device is None


def test_raw_values_have_no_bytes(order: Any) -> None:
    """An event that still holds raw values has neither key nor value, so that no mistake can send it."""
    event = order(plan="FREE", **PERSONAL)
    with pytest.raises(TypeError, match="email, device must be protected first"):
        value_of(event)
    with pytest.raises(TypeError, match="must be protected first"):
        event.kafka_key("s")


def test_what_is_printed_shows_no_raw_value(order: Any) -> None:
    """repr and str hide it; tokens are shown. Pickling keeps the event as it is."""
    event = order(plan="FREE", **PERSONAL)
    assert CANARY not in f"{event!r} {event} {[event]}"
    assert "email=<personal>" in repr(event)
    made = event.with_tokens(lambda _: "k1:token")
    assert "email='k1:token'" in repr(made)
    for each in (event, made):
        again = pickle.loads(pickle.dumps(each))
        assert again == each
        assert again.has_tokens is each.has_tokens
    assert isinstance(event, PersonalEvent)


WRONG: list[dict[str, Any]] = [
    {"email": CANARY.encode()},
    {"email": f"{CANARY}\ud800"},
    {"email": [CANARY]},
    {"device": CANARY},
    {"phone": CANARY.encode()},
    {"nicknames": CANARY},
    {"nicknames": [CANARY.encode()]},
    {"answers": {CANARY: 5}},
    {"answers": {5: CANARY}},
    {"age": CANARY},
    {"sex": CANARY},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_errors_show_no_raw_value(order: Any, wrong: dict[str, Any]) -> None:
    """A personal value that does not fit is refused by field and type; neither the error nor its causes show it."""
    with pytest.raises(InvalidEvent) as caught:
        order(**{"plan": "FREE", "email": "a@b.c", **wrong})
    assert caught.value.where == f"order.{next(iter(wrong))}"
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "wrong", [{"device": f"{CANARY}!"}, {"email": None}, {"age": CANARY}, {"nicknames": CANARY}, {"sex": CANARY}]
)
def test_errors_from_json_show_no_raw_value(order: Any, wrong: dict[str, Any]) -> None:
    """Nor do those for JSON that cannot be turned into the field's type."""
    with pytest.raises(InvalidEvent) as caught:
        event_from_json(order, json.loads(json.dumps({"plan": "FREE", "email": "a@b.c", **wrong})))
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_the_documented_labels_are_good() -> None:
    """The example of docs/events.md breaks no rule."""
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    fields = json.loads(f"[{block.strip().removesuffix(',')}]")
    assert [each["headrace.pii"] for each in fields] == ["hmac", "drop", "none"]
    assert rules(record(*fields)) == []
