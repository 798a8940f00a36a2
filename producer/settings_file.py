"""Reads headrace.toml against a table of settings, and says all that is wrong with it at once, line by line.

The file comes to the same as variables of the environment that anything else wins over. Secrets do not stand in it:
only the name of a file that holds one, or a program that prints it, which is read or run when the secret is needed.
"""

import difflib
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .kafka_environment import SECRETS, Deferred, secret_of
from .setting import Setting

BYTES_MAX = 1 << 20
_WORD = r"(?:[\w-]+|\"[^\"]*\"|'[^']*')"
_PATH = rf"{_WORD}(?:\s*\.\s*{_WORD})*"
_HEADER = re.compile(rf"^\s*\[\s*({_PATH})\s*\]\s*(?:#.*)?$")
_KEY = re.compile(rf"^\s*({_PATH})\s*=")
_REFUSED = {
    "producer.pii_keys": "write pii_key_file, which names a file of them, or set HEADRACE_PII_KEYS",
    **dict.fromkeys(
        ("store.access_key_id", "store.secret_access_key", "store.session_token", "store.aws_secret_access_key"),
        "credentials of S3 come from AWS_... variables, a role, or a profile: write profile, or credentials_file",
    ),
}


@dataclass(frozen=True, slots=True)
class Stated:
    """A value that the file has, and where: FILE:LINE."""

    value: Any
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """What a file says: settings by key, and librdkafka's by its own names. Without a path: there is no file."""

    path: Path | None = None
    stated: Mapping[str, Stated] = field(default_factory=dict)
    kafka: Mapping[str, Deferred] = field(default_factory=dict)


def read_file(path: Path, table: Sequence[Setting], sections: Collection[str] | None = None) -> SettingsFile:
    """Read a file; only some sections of it, where they are named. Raises ValueError: a line for each thing wrong."""
    try:
        with path.open("rb") as file:
            body = file.read(BYTES_MAX + 1)
        text = body.decode("utf-8")
        parsed = tomllib.loads(text) if len(body) <= BYTES_MAX else None
    except OSError as error:
        raise ValueError(f"cannot read the settings in {path}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8; is it the right file?") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no TOML: {error}") from None
    if parsed is None:
        raise ValueError(f"{path} has over {BYTES_MAX:,} bytes; is it the right file?")
    reading = _Reading(path, table, lines_of(text))
    for name, value in parsed.items():
        if sections is None or name in sections:
            reading.section(name, value)
    if reading.problems:
        raise ValueError("\n".join(reading.problems))
    return SettingsFile(path, reading.stated, reading.kafka)


class _Reading:
    """Goes through what a file has, and collects what is wrong with it."""

    def __init__(self, path: Path, table: Sequence[Setting], lines: Mapping[str, int]) -> None:
        self._path = path
        self._table = {each.key: each for each in table}
        self._sections = sorted({each.section for each in table})
        self._lines = lines
        self.problems: list[str] = []
        self.stated: dict[str, Stated] = {}
        self.kafka: dict[str, Deferred] = {}

    def section(self, name: str, value: Any) -> None:
        where = self._where(name)
        if name not in self._sections:
            kind = f"section [{name}]" if isinstance(value, dict) else f"setting {name!r} outside of a section"
            there = ", ".join(f"[{each}]" for each in self._sections)
            near = difflib.get_close_matches(name, self._sections, 1)
            self.problems.append(
                f"{where}: there is no {kind}{f'; did you mean [{near[0]}]?' if near else ''} Sections are {there}"
            )
        elif not isinstance(value, dict):
            self.problems.append(f"{where}: {name} is a section: write [{name}], and its settings below")
        elif name == "kafka":
            self._kafka_section(value)
        else:
            for key, each in value.items():
                self._setting(name, key, each)

    def _setting(self, section: str, name: str, value: Any) -> None:
        key = f"{section}.{name}"
        where = self._where(key)
        setting = self._table.get(key)
        if setting is None:
            self.problems.append(f"{where}: {self._unknown(section, name)}")
            return
        try:
            checked = setting.kind.checked(value)
        except ValueError as error:
            self.problems.append(f"{where}: [{section}] {name} {_reason(value, error)}; {setting.about.rstrip('.')}")
            return
        self.stated[key] = Stated(checked, setting.kind.text(checked), where)

    def _unknown(self, section: str, name: str) -> str:
        if advice := _REFUSED.get(f"{section}.{name}"):
            return f"[{section}] {name} is a secret, and this file is no place for one: {advice}"
        own = [each.name for each in self._table.values() if each.section == section]
        if near := difflib.get_close_matches(name, own, 1):
            return f"[{section}] has no setting {name!r}; did you mean {near[0]}?"
        elsewhere = [each.section for each in self._table.values() if each.name == name]
        if elsewhere:
            return f"[{section}] has no setting {name!r}; there is one in [{elsewhere[0]}]"
        return f"[{section}] has no setting {name!r}; it has {', '.join(own)}"

    def _kafka_section(self, values: Mapping[str, Any]) -> None:
        for name, value in _flat(values):
            where = self._where(f"kafka.{name}")
            if name == "servers":
                self._setting("kafka", name, value)
            elif name in ("bootstrap.servers", "metadata.broker.list"):
                self.problems.append(f"{where}: [kafka] {name}: write servers instead")
            elif name in SECRETS:
                variable = "HEADRACE_KAFKA_" + name.upper().replace(".", "_")
                self.problems.append(
                    f"{where}: [kafka] {name} is a secret, and this file is no place for one: write {name}_file, which "
                    f"names a file that holds it, or {name}_command, a program that prints it; or set {variable}"
                )
            elif not isinstance(value, str | int | float):
                self.problems.append(f"{where}: [kafka] {name} must be a text, a number, true or false")
            else:
                secret, deferred = secret_of(name, value, where)
                if secret in self.kafka:
                    self.problems.append(f"{where}: [kafka] {secret} is given twice; leave one of the two out")
                self.kafka[secret] = deferred

    def _where(self, key: str) -> str:
        line = self._lines.get(key)
        return str(self._path) if line is None else f"{self._path}:{line}"


def _reason(value: Any, error: ValueError) -> str:
    shown = repr(value) if isinstance(value, str | int | float | bool) else f"a {type(value).__name__}"
    return f"is {shown[:60]}, and {error}"


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield names with dots: TOML reads `sasl.password_file = ...` as a table in a table."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def lines_of(text: str) -> dict[str, int]:
    """Return where each section and key stands; only to be told, so a rare form that is missed does no harm."""
    found: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            section = _dotted(header[1])
            found.setdefault(section, number)
        elif key := _KEY.match(line):
            found.setdefault(f"{section}.{_dotted(key[1])}" if section else _dotted(key[1]), number)
    return found


def _dotted(path: str) -> str:
    return ".".join(word.strip("\"'") for word in re.findall(_WORD, path))
