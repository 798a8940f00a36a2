"""Finds headrace.toml, and makes of the table's rows options that go by flag, environment, file and default.

In that order: what is named more closely wins. The file is the one of --config, else of HEADRACE_CONFIG, else
./headrace.toml, else /etc/headrace/headrace.toml; the first that is there is the only one that is read, and it is not
read before a verb has a setting that it could hold.
"""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from headrace.producer.environment import merged
from headrace.producer.setting import Choice, Flag, Names, Number, Setting
from headrace.producer.settings_file import SettingsFile, Stated, read_file

from .setting_table import SETTINGS, TABLE

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

HERE = Path("headrace.toml")
SYSTEM = Path("/etc/headrace/headrace.toml")
VARIABLE = "HEADRACE_CONFIG"
_PATH, _FILE = "headrace.config", "headrace.settings_file"


class SettingOption(click.Option):
    """An option that is a row of the table: where neither flag nor variable say anything, the file does."""

    def __init__(self, *declarations: Any, setting: Setting, **attributes: Any) -> None:
        super().__init__(*declarations, **attributes)
        self.setting = setting

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        """Return the value and where it comes from; the file is click's default map."""
        value, source = super().consume_value(ctx, opts)
        if source is ParameterSource.DEFAULT and not self._said_otherwise():
            stated = configuration(ctx).stated.get(self.setting.key)
            if stated is not None:
                return (list(stated.value) if self.multiple else stated.text), ParameterSource.DEFAULT_MAP
        return value, source

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Return where a value that cannot be used was said: the variable, the file's line, or the flag."""
        origin = None if ctx is None else ctx.get_parameter_source(str(self.name))
        if origin is ParameterSource.ENVIRONMENT:
            return self.setting.variable
        if origin is ParameterSource.DEFAULT_MAP and ctx is not None:
            return f"[{self.setting.section}] {self.setting.name} at {self.stated_source(ctx)}"
        if origin is ParameterSource.COMMANDLINE:
            return " / ".join(f"'{each}'" for each in self.opts)
        return super().get_error_hint(ctx)

    def stated_source(self, ctx: click.Context) -> str:
        """Return where the file says it: FILE:LINE."""
        return configuration(ctx).stated[self.setting.key].source

    def _said_otherwise(self) -> bool:
        return any(os.environ.get(name) for name in self.setting.others)


class _NameList(click.types.StringParamType):
    """One name of several; in a variable they have commas or blanks between them."""

    def split_envvar_value(self, rv: str) -> list[str]:
        """Return the names of a variable."""
        return list(Names().parsed(rv))


def setting_option(key: str, *names: str, **changed: Any) -> Decorator:
    """Return the option of a row: its flags, variable, default and help. `names` and `changed` replace them."""
    setting = SETTINGS[key]
    kind: Any = setting.kind
    attributes: dict[str, Any] = {"type": str}
    if isinstance(kind, Number):
        attributes["type"] = _number(kind)
    elif isinstance(kind, Choice):
        attributes["type"] = click.Choice(kind.words)
    elif isinstance(kind, Names):
        attributes |= {"type": _NameList(), "multiple": True}
    elif isinstance(kind, Flag):
        attributes = {"is_flag": True}
    if setting.default is not None or isinstance(kind, Flag):
        attributes |= {"default": setting.default, "show_default": setting.default is not None}
    attributes |= {
        "envvar": setting.variable,
        "show_envvar": True,
        "help": setting.about,
        "metavar": setting.metavar,
    }
    return click.option(*(names or setting.flag), cls=SettingOption, setting=setting, **(attributes | changed))


def _number(kind: Number) -> Any:
    if kind.least is None and kind.most is None:
        return int if kind.whole else float
    if not kind.whole:
        return click.FloatRange(kind.least, kind.most)
    least, most = (None if bound is None else int(bound) for bound in (kind.least, kind.most))
    return click.IntRange(least, most)


def config_option(command: click.Command) -> None:
    """Give a verb, and the verbs below it, the option --config."""
    if isinstance(command, click.Group):
        for below in command.commands.values():
            config_option(below)
    elif not any(each.name == "config_path" for each in command.params):
        command.params.append(CONFIG_OPTION)


def _chosen(ctx: click.Context, _option: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.meta[_PATH] = value


CONFIG_OPTION = click.Option(
    ["--config", "config_path"],
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=_chosen,
    help="Settings: docs/configuration.md.  [default: headrace.toml here, or in /etc/headrace]",
)


def configuration(ctx: click.Context | None = None) -> SettingsFile:
    """Return what the file says, read once a run. Raises UsageError for a file that cannot be used."""
    context = ctx or click.get_current_context(silent=True)
    known = {} if context is None else context.meta
    if _FILE not in known:
        path = found_file(known.get(_PATH))
        try:
            known[_FILE] = SettingsFile() if path is None else read_file(path, TABLE)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
    found: SettingsFile = known[_FILE]
    return found


def chosen_file() -> Path | None:
    """Return the file that is read, for whoever tells of one that cannot be used."""
    context = click.get_current_context(silent=True)
    try:
        return found_file(None if context is None else context.meta.get(_PATH))
    except click.UsageError:
        return HERE


def found_file(chosen: Path | None) -> Path | None:
    """Return the file to read, None where there is none. Raises UsageError for one that is not to be trusted."""
    named = chosen or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is not None:
        return named
    if _is_there(HERE):
        _refuse_strangers(HERE)
        return HERE
    return SYSTEM if _is_there(SYSTEM) else None


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # reading it will say what is wrong
    return True


def _refuse_strangers(path: Path) -> None:
    """A file may name programs to run, and this one was named by nobody: it must be ours, or the system's."""
    try:
        found = path.stat()
    except OSError:
        return
    if found.st_uid in (os.geteuid(), 0) and not found.st_mode & stat.S_IWOTH:
        return
    raise click.UsageError(
        f"{path.absolute()} was not read: it belongs to another user, or all may write to it, and its settings can "
        f"name programs to run; name it by --config if it is meant, or go to another folder"
    )


def environment(ctx: click.Context | None = None) -> dict[str, str]:
    """Return the environment with what the file says of the producer where no variable does."""
    return merged(os.environ, configuration(ctx))


def tell_aws(ctx: click.Context | None = None) -> None:
    """Put what the file says of the store into the environment, where AWS's libraries, here and in workers, look."""
    stated = configuration(ctx).stated
    for setting in TABLE:
        found: Stated | None = stated.get(setting.key)
        if found is None or not setting.variable.startswith("AWS_"):
            continue
        if not any(os.environ.get(name) for name in (setting.variable, *setting.others)):
            os.environ[setting.variable] = found.text
