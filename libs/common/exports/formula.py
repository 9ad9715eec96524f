"""Texts that no spreadsheet takes for a formula.

A cell that begins with `= + - @`, their full-width forms, TAB, CR, LF or NUL may be run by the program that opens the
file (OWASP, CSV injection; ASVS 5.0, 1.2.10), also behind blanks that the program strips. Such a text gets one `'` in
front. So does one that begins with `'` itself: whoever takes one leading `'` away has every text back.
"""

import re

# Full-width forms are U+FF0B, U+FF0D, U+FF1D and U+FF20; a BOM or a zero-width space before the sign is as good as nothing.
_ACTIVE = re.compile("[\\s\\u200b\\ufeff]*[=+\\-@'\\uff0b\\uff0d\\uff1d\\uff20\\x00\\t\\r\\n\\u2212]")
_HARMLESS = frozenset('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/{["')


def neutral(text: str) -> str:
    """The text as a cell that stays a text."""
    if not text or text[0] in _HARMLESS or not _ACTIVE.match(text):
        return text
    return f"'{text}"


def restored(cell: str) -> str:
    """The text that `neutral` was given."""
    return cell.removeprefix("'")
