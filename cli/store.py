"""`headrace store`: is this S3 server one that an archive can be trusted to?"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from headrace.archiver.store_check import Outcome, StoreReport, check_all
from headrace.archiver.store_checks import RACES, checks
from headrace.archiver.store_policies import BUCKET_DOCUMENTS, NAMES, ROLES, policy

from .options import EXIT_SERVER, EXIT_USAGE, EXIT_WRONG, archive_option, fail
from .s3_options import s3_settings
from .servers import open_store, reported_errors
from .tables import table

CHECK_VERSION = 1
CHECK_TIMEOUT_S = 20.0
_NAME_WIDTH = 16
_WORDS = {
    "ok": {"exactness": "ok", "upkeep": "ok", "nothing": "ok"},
    "wrong": {"exactness": "WRONG", "upkeep": "WARNING", "nothing": "note"},
    "unknown": {"exactness": "UNKNOWN", "upkeep": "unknown", "nothing": "unknown"},
}


@click.group("store")
def command() -> None:
    """Look at the S3 store itself, and say what rights it has to give.

    \b
    headrace store check
    headrace store policies archiver
    """


@command.command()
@archive_option
@click.option(
    "--races", type=click.IntRange(1, 1000), default=RACES, show_default=True, help="So many races of 16 creates."
)
@click.option("--json", "as_json", is_flag=True, help='One JSON object, "version": 1, on standard output.')
def check(archive_url: str, races: int, as_json: bool) -> None:
    """Try, on the store itself, all that exactness rests on; say what it does wrong, and what to do about it.

    Writes only below probe/ of the archive, some 60 objects and 10 MB, and removes them again, also on Ctrl-C.
    Archivers may run meanwhile. It needs the rights to read, write, delete and list there. Each archiver does the short
    form at its start.

    \b
    WRONG    exactness needs it: do not archive to this store
    WARNING  nothing is lost by it, but gc, cleaning and verify may not see all that is there
    note     headrace does without it

    Exit code 0: fit for an archive. 1: not fit. 3: the store cannot be reached, refuses, or could not be judged.

    \b
    headrace store check --archive s3://bucket/archive
    headrace store check --json | jq '.checks[] | select(.result != "ok")'
    """
    left: list[str] = []
    with reported_errors():
        store = open_store(archive_url, read_timeout_s=CHECK_TIMEOUT_S)
        wanted = checks(races=races, sse=store.settings.sse)
        if not as_json:
            click.echo(f"{store.url} at {store.endpoint}")
        try:
            report = check_all(
                store, os.urandom(8).hex(), wanted, left=left, on_outcome=_ignore if as_json else _show_outcome
            )
        except BaseException:
            if left:
                click.echo(f"not removed: {', '.join(f'{store.url}/{key}' for key in left)}", err=True)
            raise
    if as_json:
        click.echo(json.dumps(_as_json(report), indent=2, ensure_ascii=False))
    else:
        _show_end(report)
    if report.found("wrong"):
        raise SystemExit(EXIT_WRONG)
    if not report.fit:
        raise SystemExit(EXIT_SERVER)


@command.command()
@click.argument("name", required=False, type=click.Choice(NAMES), metavar="[NAME]")
@archive_option
@click.option(
    "--into", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Write all, as NAME.json, into DIR."
)
@click.option("--without", multiple=True, metavar="SID", help="Leave a statement out, by its Sid. Repeat for several.")
def policies(name: str | None, archive_url: str, into: Path | None, without: tuple[str, ...]) -> None:
    """Print the policy document of a role, or of the bucket, for this archive. Without NAME: what there is.

    A role's document goes to `aws iam put-role-policy --policy-document file://...`. The bucket's ones go to the
    commands of `aws s3api` that the list names. With --sse aws:kms and --sse-kms-key-id ARN a role may use that key.
    Asks no server, changes nothing. docs/security.md says which servers enforce what.

    \b
    headrace store policies --archive s3://bucket/archive
    headrace store policies archiver --archive s3://bucket/archive > archiver.json
    headrace store policies --archive s3://bucket/archive --into policies/
    """
    try:
        kms_key = s3_settings().sse_kms_key_id
        documents = {each: policy(each, archive_url, kms_key=kms_key) for each in ([name] if name else NAMES)}
    except ValueError as error:
        fail(str(error), EXIT_USAGE)
    known = {statement.get("Sid") for each in documents.values() for statement in each.get("Statement", ())}
    if unknown := sorted(set(without) - known):
        fail(f"--without {unknown[0]}: there are {', '.join(sorted(filter(None, known)))}", EXIT_USAGE)
    texts = {each: _policy_text(document, without) for each, document in documents.items()}
    if into is not None:
        into.mkdir(parents=True, exist_ok=True)
        for each, text in texts.items():
            (into / f"{each}.json").write_text(text, encoding="utf-8")
        click.echo(f"wrote {', '.join(f'{each}.json' for each in texts)} into {into}", err=True)
    elif name is not None:
        click.echo(texts[name], nl=False)
    else:
        for line in table([("name", "for"), *ROLES.items(), *BUCKET_DOCUMENTS.items()], right=()):
            click.echo(line)


def _policy_text(document: dict[str, Any], without: Sequence[str]) -> str:
    kept = [each for each in document.get("Statement", ()) if each["Sid"] not in without]
    return json.dumps({**document, **({"Statement": kept} if "Statement" in document else {})}, indent=2) + "\n"


def _ignore(_outcome: Outcome) -> None:
    """Say nothing: the JSON object holds it all."""


def _show_outcome(outcome: Outcome) -> None:
    check = outcome.check
    click.echo(f"{_WORDS[outcome.result][check.needed]:10} {check.name:{_NAME_WIDTH}}  {check.promise}")
    click.echo(f"{'':10} {'':{_NAME_WIDTH}}  {'' if outcome.result == 'ok' else 'seen: '}{outcome.seen}")
    if outcome.result != "ok":
        click.echo(f"{'':10} {'':{_NAME_WIDTH}}  what to do: {check.advice}")


def _show_end(report: StoreReport) -> None:
    for key in report.left:
        click.echo(f"not removed: {report.store}/{key}", err=True)
    broken, unknown = (_named(report.found(result)) for result in ("wrong", "unknown"))
    if broken:
        click.echo(f"NOT FIT for an archive: {broken}" + (f"; not judged: {unknown}" if unknown else ""))
    elif unknown:
        click.echo(f"could not be judged: {unknown}")
    else:
        others = [each for each in report.outcomes if each.result != "ok"]
        told = (
            f"; of what it does not use, {_named(others)} {'is' if len(others) == 1 else 'are'} not as on AWS"
            if others
            else ""
        )
        click.echo(f"fit: it does all that headrace needs{told}")


def _named(outcomes: Sequence[Outcome]) -> str:
    return ", ".join(each.check.name for each in outcomes)


def _as_json(report: StoreReport) -> dict[str, object]:
    return {
        "version": CHECK_VERSION,
        "store": report.store,
        "endpoint": report.endpoint,
        "fit": report.fit,
        "checks": [
            {
                "name": each.check.name,
                "needed": each.check.needed,
                "result": each.result,
                "promise": each.check.promise,
                "seen": each.seen,
                "advice": None if each.result == "ok" else each.check.advice,
            }
            for each in report.outcomes
        ],
        "left": list(report.left),
    }
