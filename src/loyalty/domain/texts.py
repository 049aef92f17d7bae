"""What a text may hold wherever it comes from: any script and its spaces, but nothing that breaks lines or hides."""

import re
from unicodedata import is_normalized

_BROKEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, separators of lines and paragraphs, and halves of characters."""


def is_clean(text: str) -> bool:
    """Whether the text can be stored, logged and printed as it is."""
    return not _BROKEN.search(text)


def is_plain(text: str) -> bool:
    """Whether two such texts that look alike are alike: nothing unseen in or around them, one way to write é."""
    return text.isprintable() and text == text.strip() and is_normalized("NFC", text)
