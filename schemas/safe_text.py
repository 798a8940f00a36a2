"""Text that somebody else wrote, made harmless to show: a name, an error, a record's content.

What a terminal obeys (escape sequences, also those of one byte), what turns the direction of writing round, and what
breaks a line is shown as \\uXXXX. In JSON that is the same text still. Everything else stays: accents, other scripts,
emoji.
"""

import re

# Cc but tab and newline; bidirectional marks, embeddings and isolates; line and paragraph separators; tags; lone
# surrogates, which cannot be written at all.
_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f"
_OTHER = "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f\ud800-\udfff"
_IN_LINES = re.compile(f"[{_CONTROL}{_OTHER}]")
_IN_LINE = re.compile(f"[\t\n{_CONTROL}{_OTHER}]")


def safe_lines(text: str) -> str:
    """Return text that may have lines and tabs, and nothing else that a terminal obeys."""
    return _IN_LINES.sub(_escape, text)


def safe_line(text: str) -> str:
    """Return text that is one line."""
    return _IN_LINE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
