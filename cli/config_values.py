"""What every setting is now, and where that comes from: for `headrace config`. Shows no secret and asks no server."""

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
from click.core import ParameterSource

from headrace.producer.environment import limits_from, merged
from headrace.producer.kafka_environment import PREFIX, REDACTED, SECRETS, kafka_object, sourced_settings
from headrace.producer.setting import Setting
from headrace.producer.settings_file import SettingsFile

from .configuration import VARIABLE, SettingOption
from .kafka_settings import check_settings
from .setting_table import TABLE
from .setting_table_monitor import ALERTMANAGER_TOKEN, MONITOR_SECRETS, WEBHOOK_SECRET

SECRET_VARIABLES = {
    "store.access_key_id": "AWS_ACCESS_KEY_ID",
    "store.secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "store.session_token": "AWS_SESSION_TOKEN",
    "producer.pii_keys": "HEADRACE_PII_KEYS",
    "monitor.webhook_secret": WEBHOOK_SECRET,
    "monitor.alertmanager_token": ALERTMANAGER_TOKEN,
}
"""Secrets that only a variable can hold: shown as there, when they are."""
OTHER_VARIABLES = (VARIABLE, "HEADRACE_PII_KEYS", "HEADRACE_FAILPOINT", *MONITOR_SECRETS)
_USER = re.compile(r"(?<=//)[^/@\s]+@")
SECRET_PATHS = ("monitor.webhook",)
"""Addresses whose path is often a secret: whoever knows it may post there."""
_PATH = re.compile(r"(?<=[^:/])/.+")


@dataclass(frozen=True, slots=True)
class Value:
    """A setting as it is. `kind`: default, file, environment or flag; `source`: FILE:LINE, a variable, a flag."""

    key: str
    value: Any
    kind: str
    source: str
    variable: str
    flags: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as `headrace config show --json` has it."""
        value = dict(self.value) if isinstance(self.value, Mapping) else self.value
        return {
            "setting": self.key,
            "value": self._plain(value) if isinstance(value, str) else value,
            "kind": self.kind,
            "source": self.source,
            "variable": self.variable,
            "flags": list(self.flags),
        }

    def text(self) -> str:
        """Return the value as a table shows it."""
        if self.value is None:
            return "-"
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        if isinstance(self.value, Mapping):
            return ", ".join(f"{name} = {each}" for name, each in self.value.items())
        if isinstance(self.value, list | tuple):
            return ", ".join(self.value) or "-"
        return self._plain(str(self.value))

    def _plain(self, text: str) -> str:
        text = _USER.sub(f"{REDACTED}@", text)
        return _PATH.sub(f"/{REDACTED}", text) if self.key in SECRET_PATHS else text


def values(found: SettingsFile, problems: list[str], verb: "VerbLine | None" = None) -> Iterator[Value]:
    """Yield every setting, or those that a verb takes; what cannot be read of the environment goes to `problems`."""
    said = {} if verb is None else verb.said
    sections = None if verb is None else verb.sections
    for setting in TABLE:
        if verb is not None and setting.key not in said and setting.section not in (sections or ()):
            continue
        shown_by_verb = said.get(setting.key)
        yield shown_by_verb if shown_by_verb is not None else value_of(setting, found, problems)
        if setting.key == "kafka.servers":
            yield from _of_kafka(found, problems, verb)
    for key, variable in SECRET_VARIABLES.items():
        if os.environ.get(variable) and (sections is None or key.partition(".")[0] in sections):
            yield Value(key, REDACTED, "environment", variable, variable)


def value_of(setting: Setting, found: SettingsFile, problems: list[str]) -> Value:
    """Return what variable, file and default make of a setting."""
    for variable in (setting.variable, *setting.others):
        text = os.environ.get(variable)
        if text:
            try:
                parsed = setting.kind.parsed(text)
            except ValueError as error:
                problems.append(f"{variable} ([{setting.section}] {setting.name}) is {text!r}, and {error}")
                parsed = text
            return Value(setting.key, parsed, "environment", variable, setting.variable, setting.flags)
    if stated := found.stated.get(setting.key):
        return Value(setting.key, stated.value, "file", stated.source, setting.variable, setting.flags)
    return Value(setting.key, setting.default, "default", "default", setting.variable, setting.flags)


def _of_kafka(found: SettingsFile, problems: list[str], verb: "VerbLine | None") -> Iterator[Value]:
    try:
        sourced = sourced_settings(os.environ, found.kafka, secrets=False)
    except ValueError as error:
        problems.append(str(error))
        return
    typed = {} if verb is None else verb.kafka_config
    for name in sorted({*sourced, *typed}):
        variable = PREFIX + name.upper().replace(".", "_")
        if name in typed:
            value = REDACTED if name in SECRETS else typed[name]
            yield Value(f"kafka.{name}", value, "flag", "--kafka-config", variable)
            continue
        setting = sourced[name]
        hidden = REDACTED if name in SECRETS else setting.value
        kind = "environment" if setting.source.startswith("HEADRACE_") or name not in found.kafka else "file"
        yield Value(f"kafka.{name}", hidden, kind, setting.source, variable)


def check_values(found: SettingsFile) -> tuple[list[str], list[str]]:
    """Return what is wrong with the settings, and what is only odd. Reads secrets and runs what prints them."""
    problems: list[str] = []
    shown = {each.key: each for each in values(found, problems)}
    url = shown["store.url"]
    if url.value is not None and not re.match(r"s3://[^/\s]", str(url.value)):
        problems.append(f"{url.source}: [store] url is {url.value!r}, and must be s3://BUCKET/PREFIX")
    try:
        check_settings(sourced_settings(os.environ, found.kafka))
    except ValueError as error:
        if str(error) not in problems:
            problems.append(str(error))
    try:
        limits_from(merged(os.environ, found))
    except ValueError as error:
        if not any(str(error).split()[0] in each for each in problems):
            problems.append(str(error))
    return problems, list(_strange_variables())


def _strange_variables() -> Iterator[str]:
    """Yield what is said of variables that look like headrace's, and are none."""
    known = {variable for each in TABLE for variable in (each.variable, *each.others)} | set(OTHER_VARIABLES)
    for name in sorted(os.environ):
        if name.startswith("HEADRACE_") and name not in known and not name.startswith(PREFIX):
            near = difflib.get_close_matches(name, sorted(known), 1)
            yield f"{name} is no variable of headrace's, and is not read{f'; did you mean {near[0]}?' if near else ''}"


class VerbLine:
    """A verb with flags, as it would be typed after `headrace`: which settings it takes, and what the flags say."""

    def __init__(self, root: click.Group, words: Sequence[str], parent: click.Context) -> None:
        """Parse the words. Raises UsageError for a verb or a flag that is not there."""
        self.said: dict[str, Value] = {}
        self.sections: set[str] = set()
        self.kafka_config: Mapping[str, Any] = {}
        command: click.Command = root
        context = parent
        left = list(words)
        while isinstance(command, click.Group):
            name = left.pop(0) if left else ""
            found = command.get_command(context, name)
            if found is None:
                raise click.UsageError(f"there is no verb {' '.join(words) or '(none)'}")
            command = found
            context = click.Context(command, info_name=name, parent=parent)
        given, _, _ = command.make_parser(context).parse_args(left)
        for option in command.get_params(context):
            if isinstance(option, SettingOption):
                value = self._value(option, context, given)
                self.said[option.setting.key] = value
                if option.setting.key == "store.url":
                    self.sections.add("store")
            elif option.name == "kafka_config" and "kafka_config" in given:
                self.kafka_config = kafka_object("--kafka-config", given["kafka_config"])
            elif option.name == "folder" and command.name == "ship":
                self.sections.add("spool")

    @staticmethod
    def _value(option: SettingOption, context: click.Context, given: Any) -> Value:
        setting = option.setting
        raw, origin = option.consume_value(context, given)
        unset = raw is None or repr(raw) == "Sentinel.UNSET"
        value = None if unset else option.type_cast_value(context, raw)
        kind, source = "default", "default"
        if origin is ParameterSource.COMMANDLINE:
            kind, source = "flag", option.opts[-1] if len(option.opts) == 1 else "/".join(option.opts)
        elif origin is ParameterSource.ENVIRONMENT:
            kind, source = "environment", setting.variable
        elif origin is ParameterSource.DEFAULT_MAP:
            kind, source = "file", option.stated_source(context)
        return Value(setting.key, value, kind, source, setting.variable, tuple(option.opts))
