"""`headrace schema ...`: lists, shows, checks, releases and publishes event types, and generates their classes."""

import json
from pathlib import Path

import click

from headrace.producer.errors import KafkaUnreachable, UnknownTopic
from headrace.producer.published import publish, read_published
from headrace.schemas.canonical import canonical_form, fingerprint, load, wire_text
from headrace.schemas.catalog import builtin_folder
from headrace.schemas.errors import SchemaError
from headrace.schemas.evolution import check, compare_all, warnings
from headrace.schemas.folder import SchemaFolder, read_folder
from headrace.schemas.generate import generate
from headrace.schemas.release import release
from headrace.schemas.rules import Violation
from headrace.schemas.shapes import own_fields

from .configuration import setting_option, tell_aws
from .kafka_settings import GivenSettings, kafka_config_option, kafka_extra
from .options import EXIT_SERVER, EXIT_USAGE, EXIT_WRONG, fail, kafka_option
from .s3_options import s3_options

_folder_option = click.option(
    "--dir", "folder", type=click.Path(path_type=Path), help="A folder of .avsc files.  [default: headrace's own types]"
)
_folder_argument = click.argument("folder", required=False, type=click.Path(path_type=Path))


@click.group()
def command() -> None:
    """Work with event types: headrace's own, or those of a folder of .avsc files."""


@command.command("list")
@_folder_option
def list_types(folder: Path | None) -> None:
    """List the event types: name, fingerprint, releases, key, what it tells."""
    read = _read(folder)
    width = max(len(name) for name in read.current)
    for name, file in sorted(read.current.items()):
        releases = len(read.released.get(name, []))
        key = file.schema.get("key") or "-"
        doc = file.schema.get("doc", "")
        digest = _fingerprint(read, name).hex()
        click.echo(f"{name:{width}}  {digest}  {releases} released  key {key:8}  {doc}")


@command.command()
@click.argument("event_type", metavar="TYPE")
@_folder_option
@click.option("--fingerprint", "form", flag_value="fingerprint", help="Print the fingerprint: 8 bytes, as on the wire.")
@click.option("--json", "form", flag_value="json", help="Print the text that is published and archived.")
@click.option("--canonical", "form", flag_value="canonical", help="Print Avro's canonical form.")
def show(event_type: str, folder: Path | None, form: str | None) -> None:
    """Show one event TYPE: its fields, or one of its texts."""
    read = _read(folder)
    if event_type not in read.current:
        fail(f"there is no event type {event_type}; there are {', '.join(sorted(read.current))}", EXIT_USAGE)
    schema = read.current[event_type].schema
    if form == "fingerprint":
        click.echo(_fingerprint(read, event_type).hex())
    elif form == "json":
        click.echo(wire_text(schema))
    elif form == "canonical":
        click.echo(canonical_form(schema))
    else:
        click.echo(f"{event_type}: {schema.get('doc', '')}\nkey: {schema.get('key') or 'none'}\nfields:")
        for field in own_fields(schema):
            default = f" = {json.dumps(field.default)}" if field.has_default else ""
            label = f" [pii: {field.pii}]" if field.pii else ""
            click.echo(f"  {field.name}: {field.shape}{default}{label}  {field.doc}")
            symbols = (field.shape.items or field.shape).symbols
            if symbols:
                click.echo(f"    {', '.join(symbols)}")


@command.command("check")
@_folder_argument
@click.option(
    "--against",
    type=click.Choice(["kafka", "archive"]),
    help="Also compare with the schemas published to Kafka, or kept in the archive.",
)
@setting_option("kafka.servers")
@kafka_config_option
@setting_option("store.url", "--archive", "archive")
@s3_options
def check_folder(
    folder: Path | None, against: str | None, kafka: str | None, kafka_config: GivenSettings, archive: str | None
) -> None:
    """Check a FOLDER of schemas: its rules, all pairs of versions, and that no release changed.

    Without FOLDER, headrace's own types are checked. Exit code 1 when a rule is broken: file, field, rule, what to do.
    Warnings (free text that may hold personal data, without a label) change nothing of that.
    """
    read = _read(folder)
    try:
        found = check(read)
    except SchemaError as error:
        fail(str(error), EXIT_WRONG)
    if against is not None:
        address = kafka if against == "kafka" else archive
        if not address:
            fail(f"--against {against} needs --{against}, or HEADRACE_{against.upper()}", EXIT_USAGE)
        found += _compared(read, _in_kafka(address, kafka_config) if against == "kafka" else _in_archive(address))
    unsure = warnings(read)
    for violation in unsure:
        click.echo(f"warning: {violation}", err=True)
    for violation in found:
        click.echo(str(violation), err=True)
    if found:
        fail(f"{read.path}: {len(found)} broken rules", EXIT_WRONG)
    told = f", {len(unsure)} warnings" if unsure else ""
    releases = sum(map(len, read.released.values()))
    click.echo(f"{read.path}: {len(read.current)} types, {releases} releases, no rule broken{told}")


@command.command("generate")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The Python file to write.")
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit 1 when the file is not current.")
def generate_classes(folder: Path, out: Path, only_check: bool) -> None:
    """Write typed Python classes for the schemas of a FOLDER."""
    read = _read(folder)
    try:
        found = check(read)
        if found:
            for violation in found:
                click.echo(str(violation), err=True)
            fail(f"{folder}: {len(found)} broken rules; nothing was written", EXIT_WRONG)
        text = generate(read)
    except SchemaError as error:
        fail(str(error), EXIT_WRONG)
    current = out.read_text(encoding="utf-8") if out.exists() else None
    if current == text:
        click.echo(f"{out} is current")
    elif only_check:
        again = f"headrace schema generate {folder} --out {out}"
        fail(f"{out} is not what {folder} says: run `{again}`", EXIT_WRONG)
    else:
        out.write_text(text, encoding="utf-8")
        click.echo(f"wrote {out}: {len(read.current)} types")


@command.command("release")
@click.argument("folder", type=click.Path(path_type=Path))
def release_folder(folder: Path) -> None:
    """Freeze the changed schemas of a FOLDER as their next release; refused when a rule is broken."""
    read = _read(folder)
    try:
        found = check(read)
        for violation in found:
            click.echo(str(violation), err=True)
        if found:
            fail(f"{folder}: {len(found)} broken rules; nothing was released", EXIT_WRONG)
        made = release(read)
    except SchemaError as error:
        fail(str(error), EXIT_WRONG)
    click.echo("\n".join(f"released {name}" for name in made) or "nothing changed since the last releases")


@command.command("publish")
@_folder_argument
@kafka_option
@kafka_config_option
def publish_folder(folder: Path | None, kafka: str, kafka_config: GivenSettings) -> None:
    """Publish the schemas of a FOLDER (default: headrace's own) to Kafka, for readers to find."""
    read = _read(folder)
    extra = kafka_extra(kafka_config)
    try:
        texts = read.texts()
        created = publish(kafka, texts, kafka_config=extra)
    except KafkaUnreachable as error:
        fail(str(error), EXIT_SERVER)
    except SchemaError as error:
        fail(str(error), EXIT_WRONG)
    except ValueError as error:
        fail(str(error), EXIT_USAGE)
    made = " (topic created)" if created else ""
    click.echo(f"published {len(texts)} schemas to headrace.schemas on {kafka}{made}")


def _read(folder: Path | None) -> SchemaFolder:
    try:
        return read_folder(folder or builtin_folder())
    except SchemaError as error:
        fail(str(error), EXIT_WRONG if folder and folder.is_dir() else EXIT_USAGE)


def _fingerprint(folder: SchemaFolder, event_type: str) -> bytes:
    try:
        return fingerprint(folder.current[event_type].schema)
    except SchemaError as error:
        fail(f"{folder.current[event_type].path}: {error}", EXIT_WRONG)


def _compared(folder: SchemaFolder, elsewhere: list[tuple[str, str]]) -> list[Violation]:
    """Compare each current schema with what is elsewhere under its full name; `elsewhere` is (origin, text)."""
    found: list[Violation] = []
    for origin, text in elsewhere:
        try:
            schema = load(text, origin)
        except SchemaError:
            continue  # not ours to judge: other tools may publish there
        for file in folder.current.values():
            if all(schema.get(name) == file.schema.get(name) for name in ("name", "namespace")):
                found += compare_all([(origin, schema), (file.label, file.schema)])
    return found


def _in_kafka(kafka: str, config: GivenSettings) -> list[tuple[str, str]]:
    """Return what is published to Kafka."""
    extra = kafka_extra(config)
    try:
        return [(f"Kafka's {key.hex()}", text) for key, text in read_published(kafka, kafka_config=extra)]
    except UnknownTopic:
        return []  # nothing was published yet
    except KafkaUnreachable as error:
        fail(str(error), EXIT_SERVER)


def _in_archive(archive_url: str) -> list[tuple[str, str]]:
    """Return the schemas that the archive keeps."""
    try:
        from .servers import open_store, reported_errors  # noqa: PLC0415 - brings boto3, which the light install lacks
    except ModuleNotFoundError as error:
        fail(f"--against archive needs {error.name}: pip install 'headrace[archiver]'", EXIT_USAGE)
    tell_aws()
    store = open_store(archive_url)
    with reported_errors():
        keys = [info.key for info in store.list("schemas/")]
        return [(f"the archive's {key}", store.get(key).decode("utf-8", "replace")) for key in keys]
