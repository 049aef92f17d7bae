"""Texts: nothing that breaks a line or hides, and no name twice in an object."""

import pytest

from loyalty.domain.texts import TwinNames, is_clean, is_plain, refuse_twins

CLEAN = ["", "plain", "带空格 的", "a\u00a0b", "a\u200db", "\u00a0", "~", "\U0001f9f1", "\ue000"]


@pytest.mark.parametrize("text", CLEAN)
def test_any_script_is_clean_with_its_spaces_and_joiners(text: str) -> None:
    assert is_clean(text)


@pytest.mark.parametrize("mark", ["\x00", "\n", "\x1f", "\x7f", "\x85", "\x9f", "\u2028", "\u2029"])
def test_what_breaks_lines_or_texts_is_not_clean(mark: str) -> None:
    assert not is_clean(f"a{mark}b")


def test_half_a_character_is_not_clean() -> None:
    assert not any(is_clean(f"a{chr(half)}b") for half in (0xD800, 0xDBFF, 0xDC00, 0xDFFF))


@pytest.mark.parametrize("text", ["", "plain", "two words", "caf\u00e9", "会员", "\U0001f9f1"])
def test_what_looks_as_it_is_is_plain(text: str) -> None:
    assert is_plain(text)


@pytest.mark.parametrize(
    "text",
    [
        " before",
        "after ",
        "a\tb",
        "caf\u0065\u0301",  # é in two parts
        "a\u00a0b",
        "a\u200db",
        *(
            f"a{mark}b"
            for mark in "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180f\u2800\u3164\ufe00\ufe0f\uffa0\U000e0100\U000e01ef"
        ),
    ],
)
def test_what_hides_something_is_not_plain(text: str) -> None:
    assert not is_plain(text)


@pytest.mark.parametrize("text", ["{}", "[]", "1", '{"a": 1, "b": {"a": 1}}', '[{"a": 1}, {"a": 1}]'])
def test_a_name_may_stand_in_several_objects(text: str) -> None:
    refuse_twins(text)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '{"b": [{"a": 1, "c": 2, "a": 3}]}', '{"a": 1, "\\u0061": 2}'])
def test_a_name_twice_in_one_object_is_refused(text: str) -> None:
    with pytest.raises(TwinNames):
        refuse_twins(text)


def test_a_number_of_any_length_is_only_looked_past() -> None:
    refuse_twins(f'{{"a": {"9" * 5_000}, "b": 0.{"1" * 5_000}}}')
