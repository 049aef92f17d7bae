"""Conditions: typed expressions (CEL) over an order, its lines and the member; checked, bounded, failing closed.

This is the only file that knows the library. `compiled` refuses what is wrong and says where.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from cel_expr_python import cel

from loyalty.domain.bounds import MAX_LINES, MOST_TAGS

MAX_CONDITION: Final = 500
"""Most characters of a condition."""

NUMBER, TEXT, TEXTS, TRUTH = "number", "text", "list of texts", "true or false"

VARIABLES: Final[Mapping[str, tuple[str, str]]] = {
    "order.net_spend": (NUMBER, "Minor units of the whole order, after discounts."),
    "order.lines": (NUMBER, "How many lines it has."),
    "order.skus": (TEXTS, "The sku of every line."),
    "order.categories": (TEXTS, "The category of every line that has one."),
    "order.source": (TEXT, "The system that reports it."),
    "order.store": (TEXT, "The store; empty where none is named."),
    "order.day": (TEXT, "Its business day, as 2026-12-31."),
    "order.month": (NUMBER, "1 to 12."),
    "order.weekday": (NUMBER, "1 (Monday) to 7 (Sunday)."),
    "line.sku": (TEXT, "The article."),
    "line.category": (TEXT, "Empty where none is named."),
    "line.kind": (TEXT, "goods, gift_card or shipping."),
    "line.amount": (NUMBER, "Minor units."),
    "line.quantity": (NUMBER, "Pieces."),
    "member.tier": (TEXT, "The tier when the order is decided."),
    "member.store": (TEXT, "The home store; empty where none is known."),
    "member.tags": (TEXTS, "What the desk calls the member, such as staff."),
    "member.birthday_month": (TRUTH, "Whether the order's business day lies in the month of their birthday."),
    "member.birthday": (TRUTH, "Whether it is their birthday."),
    "member.first_purchase": (TRUTH, "Whether no purchase was recorded before."),
}
"""What a condition may speak of: the type of each variable, and what it means."""

NONE_OF: Final[Mapping[str, Any]] = {NUMBER: 0, TEXT: "", TEXTS: [], TRUTH: False}
"""What stands for nothing, by type."""

OF_THE_LINE: Final = frozenset(name for name in VARIABLES if name.startswith("line."))

_TYPES: Final = {
    NUMBER: cel.Type.INT,
    TEXT: cel.Type.STRING,
    TEXTS: cel.Type.List(cel.Type.STRING),
    TRUTH: cel.Type.BOOL,
}
_ENVIRONMENT: Final = cel.NewEnv(variables={name: _TYPES[type_] for name, (type_, _) in VARIABLES.items()})
_TEXT_LITERAL: Final = re.compile(r"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')""")
_OTHER_LITERAL: Final = re.compile(r"""\b[rRbB]{1,2}(?=["'])|""\s*"|''\s*'""")
_IN_PIECES: Final = re.compile(r"\b(?:order|line|member)\b(?!\.[a-z_])|//")
_NAME: Final = re.compile(r"\b(?:order|line|member)\.[a-z_]+\b")
_MACRO: Final = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(")
_LISTS: Final = {"order.skus": MAX_LINES, "order.categories": MAX_LINES, "member.tags": MOST_TAGS}
"""The most elements of each."""
_LOOKED_FOR_IN: Final = re.compile(rf"\bin\s*(?:\[([^\[\]]*)\]|({'|'.join(map(re.escape, _LISTS))})\b)")
_WALKED: Final = re.compile(rf"\b(?:{'|'.join(map(re.escape, _LISTS))})\b(?={_MACRO.pattern})")
_OPERATOR: Final = re.compile(r"\bin\b|==|!=|\+")
_AT_ONCE: Final = 5
"""Elements of a list that are looked at in the time of one evaluation."""
_PATTERN: Final = re.compile(r"\bmatches\b")
_BY_PLACE: Final = re.compile(r"""([A-Za-z_0-9]+|[)\]}"'])\s*\[""")
_DIVISION: Final = re.compile(r"[/%](?!\s*0*[1-9][0-9]*\b(?!\.))")
_OF_CEL: Final = re.compile(r"ERROR: <input>:(?P<line>\d+):(?P<column>\d+): (?P<problem>[^\n]*)")


class Invalid(ValueError):
    """A condition that cannot be used: what is wrong, and at which character it begins (from 1)."""

    def __init__(self, problem: str, position: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.position = position


class Condition(NamedTuple):
    """A condition that compiled."""

    text: str
    names: frozenset[str]
    """The variables it speaks of."""
    of_lines: bool
    """Whether it is asked for every line."""
    work: int
    """Evaluations that it may take when it is asked once."""
    evaluate: Callable[[Any], Any]
    asks: tuple[str, ...]
    """The same variables, in an order."""

    @property
    def cost(self) -> int:
        """Evaluations that it may take for the largest order."""
        return self.work * MAX_LINES if self.of_lines else self.work


class Failed(Exception):
    """A condition had no answer: a number left its range, or the work its bound."""


@lru_cache(maxsize=10_000)
def compiled(text: str) -> Condition:
    """The condition. Raises Invalid."""
    if not 0 < len(text) <= MAX_CONDITION:
        raise Invalid(f"a condition has 1 to {MAX_CONDITION} characters")
    bare = _TEXT_LITERAL.sub(lambda found: f'"{"_" * (len(found[0]) - 2)}"', text)
    if (strange := _OTHER_LITERAL.search(bare)) is not None:
        raise Invalid("a text is written in plain quotes", strange.start() + 1)
    if (pieces := _IN_PIECES.search(bare)) is not None:
        raise Invalid(
            "variables are written in one piece, as order.net_spend, and without comments", pieces.start() + 1
        )
    if (division := _DIVISION.search(bare)) is not None:
        raise Invalid("only a number that is not zero may divide", division.start() + 1)
    if (pattern := _PATTERN.search(bare)) is not None:
        raise Invalid("there are no patterns: use startsWith, endsWith, contains or in", pattern.start() + 1)
    for place in _BY_PLACE.finditer(bare):
        if place[1] != "in":
            raise Invalid("an element has no place: ask for it with in or exists", place.end())
    try:
        program = _ENVIRONMENT.compile(text)
    except RuntimeError as error:
        raise _said(str(error), text) from None
    if program.return_type() != cel.Type.BOOL:
        raise Invalid(f"a condition is true or false; this is {program.return_type().name()}")
    names = frozenset(_NAME.findall(bare)) & VARIABLES.keys()
    of_lines = not names.isdisjoint(OF_THE_LINE)
    return Condition(text, names, of_lines, _work(bare), program.eval, tuple(sorted(names)))


def _work(bare: str) -> int:
    """Evaluations that a condition may take, its texts blotted out: for every element that it walks through, one for
    itself and for the lists that it looks at. Rather more than it takes."""
    looked_for = sum(_LISTS[name] if name else literal.count(",") + 1 for literal, name in _LOOKED_FOR_IN.findall(bare))
    rest = _WALKED.sub("", _LOOKED_FOR_IN.sub("", bare))
    built = rest.count(",") + rest.count("[") + sum(most * rest.count(name) for name, most in _LISTS.items())
    elements = looked_for + built * len(_OPERATOR.findall(rest))
    walks: int = MAX_LINES ** len(_MACRO.findall(bare))
    return (1 + elements // _AT_ONCE) * walks


def looked_at(values: Mapping[str, Any]) -> Any:
    """Values as conditions look at them."""
    return _ENVIRONMENT.Activation(dict(values))


_answers: dict[tuple[Any, ...], bool] = {}
"""What conditions said of values before: an answer follows from them alone."""
_MOST_ANSWERS: Final = 100_000


def answered(condition: Condition, values: Mapping[str, Any]) -> bool:
    """Whether it is true of the values by name, as far as it speaks of them. Raises Failed."""
    key = (condition.text, *(values.get(name) for name in condition.asks))
    try:
        known = _answers.get(key)
    except TypeError:  # lists are told apart by nothing that is worth remembering
        return _asked(condition, values)
    if known is None:
        known = _asked(condition, values)
        if len(_answers) >= _MOST_ANSWERS:
            _answers.clear()
        _answers[key] = known
    return known


def _asked(condition: Condition, values: Mapping[str, Any]) -> bool:
    return holds(condition, looked_at({name: values[name] for name in condition.asks if name in values}))


def holds(condition: Condition, values: Any) -> bool:
    """Whether it is true of the values, which were `looked_at`. Raises Failed."""
    try:
        found = condition.evaluate(values).value()
    except RuntimeError as error:
        raise Failed(_plain(str(error))) from None
    if found is True or found is False:
        return found is True
    raise Failed(_plain(str(found)))  # a value of the type of errors


def is_always(condition: Condition, answer: bool) -> bool:
    """Whether the answer is the same whatever the order: nothing it speaks of matters."""
    try:
        return holds(condition, looked_at({})) is answer
    except Failed:
        return False


def texts_beside(condition: Condition, name: str) -> Iterable[tuple[str, int]]:
    """The texts that a variable is compared with, and at which character each begins (from 1)."""
    one = _TEXT_LITERAL.pattern
    compared = re.compile(rf"\b{re.escape(name)}\s*(?:==|!=|in)\s*(\[[^\]]*\]|{one})")
    for comparison in compared.finditer(condition.text):
        for found in _TEXT_LITERAL.finditer(condition.text, comparison.start(1), comparison.end(1)):
            yield found[1][1:-1], found.start() + 1


def texts_within(condition: Condition, name: str) -> Iterable[tuple[str, int]]:
    """The texts that are looked for in a variable, and at which character each begins (from 1)."""
    for found in re.finditer(rf"{_TEXT_LITERAL.pattern}\s*\bin\s+{re.escape(name)}\b", condition.text):
        yield found[1][1:-1], found.start() + 1


def _said(message: str, text: str) -> Invalid:
    """What the library says of a text, in one line."""
    found = _OF_CEL.search(message)
    if found is None:
        return Invalid(_plain(message))
    before = text.split("\n")[: int(found["line"]) - 1]
    problem = found["problem"].removesuffix(" (in container '')")
    return Invalid(problem, sum(len(line) + 1 for line in before) + int(found["column"]))


def _plain(message: str) -> str:
    """A message of the library without its codes."""
    return re.sub(r"^[A-Z_]+: | \[[A-Z_]+\]$", "", message.split("\n")[0])
