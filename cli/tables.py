"""Plain tables for terminals."""

from collections.abc import Iterable, Iterator, Sequence

from headrace.schemas.safe_text import safe_line


def table(rows: Sequence[Sequence[str]], right: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a plain table; the first row holds the headings, numbers stand to the right.

    A cell is one line, whatever is in it: no name can forge a row.
    """
    rows = [[safe_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    to_right = [heading in set(right) for heading in rows[0]]
    for row in rows:
        cells = (
            cell.rjust(width) if at_right else cell.ljust(width)
            for cell, width, at_right in zip(row, widths, to_right, strict=True)
        )
        yield "  ".join(cells).rstrip()
