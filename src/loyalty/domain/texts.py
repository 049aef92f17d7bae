"""What a text may hold wherever it comes from: any script and its spaces, but nothing that breaks lines or hides."""

import json
import re
from unicodedata import is_normalized

_BROKEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, separators of lines and paragraphs, and halves of characters."""
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Printable by Unicode's categories, and yet nothing to be seen: fillers, joiners and variation selectors."""


def is_clean(text: str) -> bool:
    """Whether the text can be stored, logged and printed as it is."""
    return not _BROKEN.search(text)


class TwinNames(ValueError):
    """A name stands twice in one object: two readers may take different ones."""


def refuse_twins(json_text: str) -> None:
    """Raises TwinNames. The text is JSON: whoever calls has read it already."""
    _TWINS.decode(json_text)


def _names_once(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise TwinNames("a name stands twice in one object")


_TWINS = json.JSONDecoder(object_pairs_hook=_names_once, parse_int=str)  # int() refuses thousands of digits


def is_plain(text: str) -> bool:
    """Whether two such texts that look alike are alike: nothing unseen in or around them, one way to write é."""
    return (
        text.isprintable()
        and text == text.strip()
        and (text.isascii() or (is_normalized("NFC", text) and not _UNSEEN.search(text)))
    )
