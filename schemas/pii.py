"""Labels for personal data on the fields of a schema, the rules for them, and what looks as if it needed one.

A field of one's own may carry `"headrace.pii"`:
- `drop`: the value is checked and forgotten when the event is made; null or the default is written.
- `hmac`: the event log writes a keyed hash instead (personal.py); for strings and bytes.
- `none`: it is no personal data, or is meant to be kept as it is; `"headrace.pii_reason"` says why.

Labels change what is written from now on, not how it is encoded: they are not in Avro's canonical form, nor in the text
that readers get, so that an existing field can be labelled. The other way is closed: see evolution.py.
"""

import re
from collections.abc import Iterator
from typing import Any

from .shapes import ENVELOPE_NAMES, PII, PII_REASON, Field, own_fields

LABELS = ("drop", "hmac", "none")
HMAC_KINDS = ("string", "bytes")
# From no protection to most. No label is as weak as `none`.
STRENGTH = {None: 0, "none": 0, "hmac": 1, "drop": 2}

# A rule, the problem, and what to do about it.
Broken = tuple[str, str, str]
_RULE = "pii"
_FREE_TEXT = frozenset({"string", "bytes", "fixed"})

# Words of a field's name, apart by `_`, that say it holds what tells who somebody is. A whole name, or words in a row.
_PERSONAL = re.compile(
    r"(^|_)("
    r"e_?mails?|mail|phones?|mobile|telephone|tel|fax|"
    r"names?|first_?names?|last_?names?|full_?names?|sur_?names?|user_?names?|nick_?names?|maiden|"
    r"address(es)?|street|zip|zip_?code|post_?code|postal|"
    r"ip|ips|ipv4|ipv6|ip_?addr|mac|imei|"
    r"birth|birth_?day|birth_?date|dob|born|gender|sex|religion|ethnicity|"
    r"ssn|social_security|passport|national_id|tax_id|driving_licen[cs]e|iban|credit_?card|card_?number|cvv|"
    r"password|passwd|passphrase|secret|token|cookie|"
    r"latitude|longitude|lat|lon|lng|geo|gps"
    r")(_|$)"
)
# Names that say nothing by themselves: text of people or programs, in which anything may stand.
_SUSPECT = re.compile(
    r"(^|_)(messages?|text|comments?|notes?|bio|body|content|query|search|user_?agent|referr?er|url|title|"
    r"description|stack|subject|payload)(_|$)"
)


def label_violations(raw: dict[str, Any]) -> Iterator[Broken]:
    """Yield what is wrong with a field's label by itself; `raw` is the field as parsed JSON."""
    label, reason = raw.get(PII), raw.get(PII_REASON)
    if PII not in raw:
        if PII_REASON in raw:
            yield _RULE, f"{PII_REASON} without {PII}", f'add "{PII}": "none", or take it out'
        return
    if label not in LABELS:
        yield _RULE, f"{PII} is {label!r}", f"use one of {', '.join(LABELS)}"
    elif str(raw["name"]) in ENVELOPE_NAMES:
        yield _RULE, "the envelope's fields are filled in by headrace and have no label", f"take {PII} out"
    elif label == "none" and not (isinstance(reason, str) and reason.strip()):
        yield _RULE, f"{PII} is none without a reason", f'say why in "{PII_REASON}"'


def shape_violations(field: Field, key: object) -> Iterator[Broken]:
    """Yield what a field's label asks for that its type cannot give; `key` is the schema's key field."""
    if field.pii == "hmac" and field.shape.kind not in HMAC_KINDS:
        yield _RULE, f"hmac is for {' and '.join(HMAC_KINDS)}, this is {field.shape}", "use drop, or another type"
    if field.pii == "drop" and not field.has_default:
        advice = 'make it nullable with "default": null, or give it a default'
        yield _RULE, "drop has nothing to write: the field has no default", advice
    if field.pii == "drop" and field.name == key:
        yield _RULE, "the key cannot be dropped", "label it hmac, which keys records by the hash, or take another key"


def unlabelled(schema: dict[str, Any]) -> Iterator[tuple[str, bool, Broken]]:
    """Yield (field, whether it is an error, what is wrong) for fields that look personal and have no label.

    An error: the name says so, and the type can hold text. A warning: the name says so and the type is a number, or the
    name is that of free text.
    """
    for field in own_fields(schema):
        if field.pii is not None:
            continue
        kinds = {field.shape.kind, (field.shape.items or field.shape).kind}
        textual = bool(kinds & _FREE_TEXT) or field.shape.items is not None
        if _PERSONAL.search(field.name) and (textual or field.shape.kind in ("int", "long", "double", "date")):
            yield field.name, textual, (_RULE, "looks like personal data and has no label", _remedies(field))
        elif _SUSPECT.search(field.name) and textual:
            yield field.name, False, (_RULE, "is free text, in which personal data may stand", _remedies(field))


def weakened(older_name: str, older: Field, newer: Field) -> Iterator[Broken]:
    """Yield a violation when a label protects less than one of an older version did."""
    if STRENGTH.get(newer.pii, 0) < STRENGTH.get(older.pii, 0):
        now = "has no label" if newer.pii is None else f"is {newer.pii}"
        yield _RULE, f"{now}, but was {older.pii} in {older_name}", "restore the label, or add a new field beside it"


def _remedies(field: Field) -> str:
    ways = "hmac" if field.shape.kind in HMAC_KINDS else "drop"
    if ways == "hmac" and field.has_default:
        ways = "drop or hmac"
    return f'label it "{PII}": {ways}; or "{PII}": "none" with a "{PII_REASON}", if it is not or is meant to be kept'
