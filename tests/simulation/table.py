"""Writes the table of seeded bugs of docs/simulation.md: `python -m simulation.table`. A test holds the page to it."""

from . import mutations  # noqa: F401 - it fills the list of bugs
from .known import KNOWN
from .seeded_bugs import ABOUT


def table() -> str:
    """Return the table's rows in Markdown."""
    rows = [f"| `{name}` | {ABOUT[name]} | {seed} | {invariant} |" for name, (seed, invariant) in KNOWN.items()]
    return "\n".join(["| bug | what it does | first seed | caught as |", "|---|---|---|---|", *rows]) + "\n"


if __name__ == "__main__":
    print(table(), end="")
