"""What a setting is: where it may stand, what it may be, what it is for. Rows of a table; nothing is read here.

One row is the key in headrace.toml, the variable, the flag with its default and help, the line that `headrace config
show` prints, and the line of docs/configuration.md: so they cannot differ.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Kind(Protocol):
    """What a value may be. A variable holds text, the file a value of TOML: both come to the same."""

    @property
    def says(self) -> str:
        """What it must be, as an error and the documentation say it."""

    def checked(self, value: Any) -> Any:
        """Return a value of the file as it is used; raise ValueError when it is none."""

    def parsed(self, text: str) -> Any:
        """Return a variable's text as it is used; raise ValueError when it is none."""

    def text(self, value: Any) -> str:
        """Return a value as a variable would hold it."""


@dataclass(frozen=True, slots=True)
class Text:
    """Any text but the empty one. `shape`: what it is, such as HOST:PORT."""

    shape: str = "text"

    @property
    def says(self) -> str:
        """See Kind."""
        return self.shape

    def checked(self, value: Any) -> str:
        """See Kind."""
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise ValueError("must be a text that is not empty")
        return value

    def parsed(self, text: str) -> str:
        """See Kind."""
        return self.checked(text)

    def text(self, value: Any) -> str:
        """See Kind."""
        return str(value)


@dataclass(frozen=True, slots=True)
class Number:
    """A number, whole or not, between bounds that it may have."""

    least: float | None = None
    most: float | None = None
    whole: bool = False

    @property
    def says(self) -> str:
        """See Kind."""
        kind = "a whole number" if self.whole else "a number"
        if self.least is not None and self.most is not None:
            return f"{kind}, {self.least:,.10g} to {self.most:,.10g}"
        return kind if self.least is None else f"{kind}, {self.least:,.10g} or more"

    def checked(self, value: Any) -> float:
        """See Kind."""
        right = isinstance(value, int) or (isinstance(value, float) and not self.whole)
        if not right or isinstance(value, bool) or not math.isfinite(value):
            raise ValueError(f"must be {self.says}")
        if (self.least is not None and value < self.least) or (self.most is not None and value > self.most):
            raise ValueError(f"must be {self.says}")
        return int(value) if self.whole else float(value)

    def parsed(self, text: str) -> float:
        """See Kind."""
        try:
            value = int(text) if self.whole else float(text)
        except ValueError:
            raise ValueError(f"must be {self.says}") from None
        return self.checked(value)

    def text(self, value: Any) -> str:
        """See Kind."""
        return str(int(value)) if float(value).is_integer() else repr(value)


@dataclass(frozen=True, slots=True)
class Flag:
    """Yes or no."""

    @property
    def says(self) -> str:
        """See Kind."""
        return "true or false"

    def checked(self, value: Any) -> bool:
        """See Kind."""
        if not isinstance(value, bool):
            raise ValueError("must be true or false")
        return value

    def parsed(self, text: str) -> bool:
        """See Kind."""
        word = text.strip().lower()
        if word in ("1", "true", "yes", "on", "t", "y"):
            return True
        if word in ("0", "false", "no", "off", "f", "n"):
            return False
        raise ValueError("must be true or false")

    def text(self, value: Any) -> str:
        """See Kind."""
        return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    @property
    def says(self) -> str:
        """See Kind."""
        return " or ".join(self.words)

    def checked(self, value: Any) -> str:
        """See Kind."""
        if value not in self.words:
            raise ValueError(f"must be {self.says}")
        return str(value)

    def parsed(self, text: str) -> str:
        """See Kind."""
        return self.checked(text)

    def text(self, value: Any) -> str:
        """See Kind."""
        return str(value)


@dataclass(frozen=True, slots=True)
class Names:
    """A list of names; in a variable with commas or blanks between them."""

    @property
    def says(self) -> str:
        """See Kind."""
        return "a list of names"

    def checked(self, value: Any) -> tuple[str, ...]:
        """See Kind."""
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
            raise ValueError('must be a list of names, such as ["pin", "follow"]')
        if wrong := [each for each in value if not each or re.search(r"[\s,\0]", each)]:
            raise ValueError(f"{wrong[0]!r} is no name: there is nothing in it, or a blank or comma")
        return tuple(value)

    def parsed(self, text: str) -> tuple[str, ...]:
        """See Kind."""
        return tuple(filter(None, re.split(r"[\s,]+", text)))

    def text(self, value: Any) -> str:
        """See Kind."""
        return ",".join(value)


@dataclass(frozen=True, slots=True)
class Words:
    """A table of words by name; in a variable a JSON object."""

    choices: tuple[str, ...]

    @property
    def says(self) -> str:
        """See Kind."""
        return f"a table of {', '.join(self.choices)} by name"

    def checked(self, value: Any) -> Mapping[str, str]:
        """See Kind."""
        if not isinstance(value, dict) or not all(each in self.choices for each in value.values()):
            raise ValueError(f"must be {self.says}")
        return value

    def parsed(self, text: str) -> Mapping[str, str]:
        """See Kind."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("must be a JSON object") from None
        return self.checked(value)

    def text(self, value: Any) -> str:
        """See Kind."""
        return json.dumps(value)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row. `key`: SECTION.NAME; `flag`: how verbs take it, the parameter's name behind it where it is another.

    `others`: variables that say the same, and win like `variable` does. `unset`: what is done where it is not set.
    """

    key: str
    kind: Kind
    about: str
    default: Any = None
    flag: tuple[str, ...] = ()
    metavar: str | None = None
    variable: str = ""
    others: tuple[str, ...] = ()
    unset: str = ""

    def __post_init__(self) -> None:
        """Give the variable its name."""
        if not self.variable:
            object.__setattr__(self, "variable", "HEADRACE_" + self.key.upper().replace(".", "_"))

    @property
    def section(self) -> str:
        """The part of the file that it stands in."""
        return self.key.partition(".")[0]

    @property
    def name(self) -> str:
        """Its name within the section."""
        return self.key.partition(".")[2]

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags alone."""
        return tuple(each for each in self.flag if each.startswith("-"))
