"""The policy documents: made out to one archive, and the bucket's statements held against requests as they are sent.

That each role's document gives what it needs and no more is tested on a real server (test_store_security.py). The one
thing that no server at hand enforces, s3:if-none-match, is judged here by AWS's rule for it: the key is there when the
header is.
"""

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from faulty_s3 import KEY_ID, Request, faulty_s3

from headrace.archiver.s3 import S3Store
from headrace.archiver.sealing import marker_key
from headrace.archiver.store_policies import BUCKET_DOCUMENTS, NAMES, ROLES, policy
from headrace.cli.main import root

URL = "s3://bucket/team/archive"
KEY = "arn:aws:kms:eu-central-1:111122223333:key/1"


def printed(*arguments: str) -> Result:
    return CliRunner().invoke(root, ["store", "policies", *arguments])


def denied(document: dict[str, Any], request: Request) -> set[str]:
    """The statements of a bucket's document that refuse a PUT or DELETE, as AWS reads them, but for TLS."""
    action = {"PUT": "s3:PutObject", "DELETE": "s3:DeleteObject"}[request.method]
    resource = f"arn:aws:s3:::{request.bucket}/{request.key}"
    keys = {"s3:if-none-match": request.headers.get("if-none-match"), "aws:SecureTransport": "true"}
    return {
        each["Sid"]
        for each in document["Statement"]
        if each["Effect"] == "Deny"
        and any(fnmatchcase(action, pattern) for pattern in listed(each["Action"]))
        and any(fnmatchcase(resource, pattern) for pattern in listed(each["Resource"]))
        and all(
            (keys[key] is None) == (wanted == "true") if kind == "Null" else keys[key] == wanted
            for kind, by_key in each.get("Condition", {}).items()
            for key, wanted in by_key.items()
        )
    }


def listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize(
    ("key", "once"),
    [
        ("log/topic=pin/00000000000000000001.json", True),
        ("data/topic=pin/dt=2026-11-23/0193a000-0000-7000-8000-000000000001.parquet", True),
        ("quarantine/topic=pin/dt=2026-11-23/0193a000-0000-7000-8000-000000000001.parquet", True),
        ("schemas/0011223344556677.avsc", True),
        ("names/report.json", True),
        ("replays/1/plan.json", True),
        ("fold/topic=pin/00000000000000001000.parquet", False),
        (marker_key("pin", "2026-11-23"), False),
        ("probe/1", False),
    ],
)
def test_what_is_written_once_cannot_be_overwritten(key: str, once: bool) -> None:
    """A create passes everywhere; a plain PUT passes only where headrace itself makes one: folds, markers, probes."""
    with faulty_s3() as s3:
        where: dict[str, Any] = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": "s", "region_name": "us-east-1"}
        store = S3Store(URL, endpoint_url=s3.endpoint, **where)
        store.put_if_absent(key, b"1")
        store.put(key, b"2")
        store.delete([key])
        create, overwrite, remove = s3.requests
    document = policy("bucket", URL)
    assert denied(document, create) == set()
    assert denied(document, overwrite) == ({"WriteOnce"} if once else set())
    assert denied(document, remove) == ({"KeepTheLog"} if key.startswith(("log/", "names/", "schemas/")) else set())


@pytest.mark.parametrize("name", NAMES)
def test_a_document_is_made_out_to_the_archive(name: str) -> None:
    """No placeholder stays, with a prefix and without one, and each statement has a name of its own."""
    for url in (URL, "s3://bucket"):
        document = policy(name, url)
        text = json.dumps(document)
        assert "BUCKET" not in text
        assert "PREFIX" not in text
        assert "//" not in text.replace("s3://", "")
        names = [each["Sid"] for each in document.get("Statement", ())]
        assert len(names) == len(set(names))
        assert all(each.isalnum() for each in names)


def test_a_key_of_kms_may_be_used() -> None:
    """With the key's ARN a role may use it, who only reads for decrypting alone; an alias is refused, and told why."""
    asked = ("--archive", URL, "--sse", "aws:kms", "--sse-kms-key-id")
    for role in ROLES:
        last = json.loads(printed(role, *asked, KEY).stdout)["Statement"][-1]
        assert (last["Sid"], last["Resource"]) == ("UseTheKey", KEY)
        assert ("kms:GenerateDataKey" in last["Action"]) == (role not in {"reader", "gc"})
    assert "UseTheKey" not in printed("bucket", *asked, KEY).stdout
    refused = printed("archiver", *asked, "alias/archive")
    assert (refused.exit_code, "needs the key's ARN" in refused.output) == (2, True)


def test_all_are_written_into_a_folder(tmp_path: Path) -> None:
    """--into writes each document as NAME.json; without a name they are listed with what each is for."""
    assert printed("--archive", URL, "--into", str(tmp_path / "new"), "--without", "WriteOnce").exit_code == 0
    written = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "new").iterdir()}
    assert set(written) == set(NAMES)
    assert [each["Sid"] for each in written["bucket"]["Statement"]] == ["TlsOnly", "KeepTheLog"]
    assert written["archiver"] == policy("archiver", URL)
    shown = printed("--archive", URL).stdout
    assert all(f"\n{name}  " in shown.replace("   ", "  ") for name in (*ROLES, *BUCKET_DOCUMENTS))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("archiver", "--archive", "s3://bucket/te*m"), "means something else in a policy"),
        (("archiver", "--archive", "bucket"), "not of the form s3://bucket/prefix"),
        (("bucket", "--archive", URL, "--without", "Tls"), "there are KeepTheLog, TlsOnly, WriteOnce"),
        (("janitor", "--archive", URL), "'janitor' is not one of"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: tuple[str, ...], told: str) -> None:
    """Exit code 2, and the message says why."""
    refused = printed(*arguments)
    assert refused.exit_code == 2
    assert told in refused.output
