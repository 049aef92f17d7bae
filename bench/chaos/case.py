"""A history and the ledger it led to, indexed for the laws. Nothing else is looked at."""

from collections import Counter
from collections.abc import Iterable

from bench.chaos.history import Dossier, History
from bench.chaos.ledger import Document, Ledger
from bench.chaos.verbs import DESK, VERBS

ENROLMENTS = ("enrolment", "late_enrolment")
"""The verbs by which somebody joins."""


class Case:
    """What was said and what there is. Dry runs are kept apart: nothing may follow from them."""

    def __init__(self, history: History, ledger: Ledger) -> None:
        self.history = history
        self.ledger = ledger
        everything = history.dossiers.values()
        self.real = [one for one in everything if not one.ask.dry]
        self.dry = [one for one in everything if one.ask.dry]
        self.entries: dict[str, Document] = {entry["id"]: entry for entry in all_entries(ledger)}
        """By id."""
        self.by_origin = {origin: entry for entry in self.entries.values() if (origin := origin_of(entry))}
        """By kind, source and reference."""
        self.answers: dict[int, Document] = {
            one.ask.id: heard.document for one in self.real if (heard := one.acknowledged) is not None
        }
        """What a request was told when it was acknowledged."""
        self.told = Counter(entry["id"] for answer in self.answers.values() for entry in answer.get("entries", ()))
        """How many requests an entry was given to as the answer."""
        self.waiting = {
            f"ent_{heard.document['adjustment'][4:]}"
            for one in self.of_verb("adjustment")
            if (heard := one.promised) is not None
        }
        """The ids that entries of adjustments have once they are approved."""
        self._numbers = {answer["number"]: answer["id"] for answer in self.answers.values() if "number" in answer}
        self._identities = {
            identity["value"]: self.answers[one.ask.id]["id"]
            for one in self.of_verb("late_enrolment")
            if one.ask.id in self.answers
            for identity in one.ask.body["identities"]
        }

    def member(self, name: Document) -> str | None:
        """The id of whom a body names; None: it names nobody who was told of having joined."""
        if "identity" in name:
            return self._identities.get(name["identity"]["value"])
        return name.get("id") or self._numbers.get(name.get("number"))

    def of_verb(self, *names: str) -> Iterable[Dossier]:
        return (one for one in self.real if one.ask.verb in names)

    def entry(self, one: Dossier) -> Document | None:
        """The entry that the request brought about, as far as can be told."""
        answer = self.answers.get(one.ask.id)
        if answer is not None:
            return answer.get("entry") if "entries" in answer else None  # a review item only names one
        return None if one.refused else self.by_origin.get(claimed(one) or "")

    def happened(self, *verbs: str) -> Iterable[tuple[Dossier, Document]]:
        """Requests that brought about an entry, and the entry; the same receipt under two keys once."""
        found: dict[str, tuple[Dossier, Document]] = {}
        for one in self.of_verb(*verbs):
            entry = self.entry(one)
            if entry is not None and (entry["id"] not in found or one.ask.id in self.answers):
                found[entry["id"]] = one, entry
        return found.values()

    def closed(self, member: str) -> bool:
        shown = self.ledger.by_id.get(member)
        return shown is not None and shown["status"] == "closed"


def all_entries(ledger: Ledger) -> Iterable[Document]:
    return (entry for entries in ledger.entries.values() for entry in entries)


def claimed(one: Dossier) -> str | None:
    """The reference it claims, in the words of `origin_of`."""
    kind, body = VERBS[one.ask.verb].kind, one.ask.body
    return f"{kind} {body['source']} {body['reference']}" if kind else None


def origin_of(entry: Document) -> str | None:
    """Kind, source and reference of an entry that has taken one."""
    if entry["reference"] is None or is_moved_sale(entry):
        return None
    return f"{entry['kind']} {entry['source']} {entry['reference']}"


def is_moved_sale(entry: Document) -> bool:
    """Whether it is a purchase that was reassigned to its member: it stands under the receipt of the purchase."""
    return bool(entry["kind"] == "reassign" and entry["source"] != DESK)


def confirmed_untold(case: Case) -> dict[str, str]:
    """The reservations that were confirmed by somebody who was not told so, and their members."""
    told = {one.ask.about for one in case.of_verb("confirmation") if one.ask.id in case.answers}
    unknown = {one.ask.about for one in case.of_verb("confirmation") if one.verdict is None} - told
    shown = ((id_, case.ledger.by_id.get(id_)) for id_ in unknown)
    return {id_: it["member"] for id_, it in shown if it is not None and it["status"] == "confirmed"}


def credited(entries: Iterable[Document], account: str) -> Counter[str]:
    """What entries credit to an account, less what they debit to it, by wallet; nothing where that is nothing."""
    net: Counter[str] = Counter()
    for posting in (posting for entry in entries for posting in entry["postings"]):
        net[posting["wallet"]] += posting["points"] * ((posting["credit"] == account) - (posting["debit"] == account))
    return without_zeros(net)


def without_zeros(points: "Counter[str]") -> "Counter[str]":
    return Counter({wallet: count for wallet, count in points.items() if count})
