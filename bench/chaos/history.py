"""The history of a run: every request, every attempt, every answer and every fault, a JSON line each.

| `what` | fields |
|---|---|
| `run` | `seed` |
| `ask` | `ask`, `verb`, `path`, `key`, `body`: a request, sent as often as it takes |
| `sent` | `try`, `asks`, `to`, `at`: an attempt at one request, or at the items of a bulk call |
| `heard` | `try`, `ask`, `at`, `status`, `body`, `replayed` (null in a bulk call): its answer |
| `lost` | `try`, `at`, `error`: it has no answer |
| `gave_up` | `ask`: nobody will send it again |
| `looked` | `member`, `sent`, `at`, `entry`: the member's newest entry, as it was shown meanwhile |
| `followed` | `follower`, `at`, `items`: the next events, as a follower was shown them |
| `fault` | `kind`, `at`, `ready_s`: what was done to the service, and how long it was not itself |

Times are seconds since 1970. Bodies of answers are text, byte for byte; those of bulk items as they were cut out.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

DRY = "?dry_run=true"


class Ask(NamedTuple):
    """One request: the same key and body however often it is sent."""

    id: int
    verb: str
    path: str
    key: str
    body: dict[str, Any]

    @property
    def dry(self) -> bool:
        """Whether it asks for a decision that must leave nothing."""
        return self.path.endswith(DRY)

    @property
    def about(self) -> str:
        """The id in its path."""
        return self.path.removesuffix(DRY).split("/")[3]


class Heard(NamedTuple):
    """An answer, and when its attempt was sent and answered."""

    sent: float
    at: float
    status: int
    body: str
    replayed: bool | None
    """As the header said; None where there is none."""

    @property
    def document(self) -> Any:
        return orjson.loads(self.body)

    @property
    def code(self) -> str | None:
        """The code of a problem."""
        return self.document.get("code") if self.status >= 400 else None


class Dossier(NamedTuple):
    """All that is known of one request."""

    ask: Ask
    sent: list[float]
    answers: list[Heard]

    @property
    def name(self) -> str:
        return f"request {self.ask.id} ({self.ask.verb}, key {self.ask.key})"

    @property
    def acknowledged(self) -> Heard | None:
        """The first answer that says it happened."""
        return next((heard for heard in self.answers if heard.status in (200, 201)), None)

    @property
    def promised(self) -> Heard | None:
        """The first answer that says it waits for something else."""
        return next((heard for heard in self.answers if heard.status == 202), None)

    @property
    def verdict(self) -> Heard | None:
        """Its conclusive answer: that it happened or waits, else why not; None: nobody knows."""
        conclusive = next((heard for heard in self.answers if heard.status < 500), None)
        return self.acknowledged or self.promised or conclusive

    @property
    def refused(self) -> bool:
        return self.verdict is not None and self.verdict.status >= 400


class Look(NamedTuple):
    """What a member's newest entry was when somebody looked."""

    member: str
    sent: float
    entry: dict[str, Any] | None


class Struck(NamedTuple):
    """A fault, and the seconds from its end (or the kill) until every server served again."""

    kind: str
    ready_s: float


class History(NamedTuple):
    """A run, read back."""

    dossiers: dict[int, Dossier]
    looks: list[Look]
    followed: dict[str, list[dict[str, Any]]]
    """The events that each follower was shown, in the order in which they came."""
    faults: list[Struck]
    lost: int
    """Attempts without an answer."""


class Recorder:
    """Writes a history while it happens."""

    def __init__(self, path: Path, seed: int) -> None:
        self._file = path.open("wb")
        self._asks = self._tries = 0
        self._write("run", seed=seed)

    def flush(self) -> None:
        """Whoever reads the file sees everything so far."""
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def ask(self, verb: str, path: str, key: str, body: dict[str, Any]) -> Ask:
        self._asks += 1
        ask = Ask(self._asks, verb, path, key, body)
        self._write("ask", ask=ask.id, verb=verb, path=path, key=key, body=body)
        return ask

    def sent(self, asks: Sequence[Ask], to: str) -> int:
        """The number of the attempt that begins now."""
        self._tries += 1
        self._write("sent", **{"try": self._tries}, asks=[ask.id for ask in asks], to=to, at=time.time())
        return self._tries

    def heard(self, attempt: int, ask: Ask, status: int, body: str, *, replayed: bool | None) -> None:
        self._write(
            "heard", **{"try": attempt}, ask=ask.id, at=time.time(), status=status, body=body, replayed=replayed
        )

    def lost(self, attempt: int, error: str) -> None:
        self._write("lost", **{"try": attempt}, at=time.time(), error=error)

    def gave_up(self, ask: Ask) -> None:
        self._write("gave_up", ask=ask.id)

    def looked(self, member: str, sent: float, entry: dict[str, Any] | None) -> None:
        self._write("looked", member=member, sent=sent, at=time.time(), entry=entry)

    def followed(self, follower: str, items: Sequence[dict[str, Any]]) -> None:
        self._write("followed", follower=follower, at=time.time(), items=items)

    def fault(self, kind: str, ready_s: float) -> None:
        self._write("fault", kind=kind, at=time.time(), ready_s=round(ready_s, 3))

    def _write(self, what: str, **fields: Any) -> None:
        self._file.write(orjson.dumps({"what": what, **fields}) + b"\n")


def read(path: Path) -> History:
    """The history that a recorder wrote."""
    history = History({}, [], {}, [], 0)
    sent: dict[int, float] = {}
    lost = 0
    with path.open("rb") as file:
        for line in map(orjson.loads, file):
            match line["what"]:
                case "ask":
                    ask = Ask(line["ask"], line["verb"], line["path"], line["key"], line["body"])
                    history.dossiers[ask.id] = Dossier(ask, [], [])
                case "sent":
                    sent[line["try"]] = line["at"]
                    for id_ in line["asks"]:
                        history.dossiers[id_].sent.append(line["at"])
                case "heard":
                    heard = Heard(sent[line["try"]], line["at"], line["status"], line["body"], line["replayed"])
                    history.dossiers[line["ask"]].answers.append(heard)
                case "lost":
                    lost += 1
                case "looked":
                    history.looks.append(Look(line["member"], line["sent"], line["entry"]))
                case "followed":
                    history.followed.setdefault(line["follower"], []).extend(line["items"])
                case "fault":
                    history.faults.append(Struck(line["kind"], line["ready_s"]))
    return history._replace(lost=lost)
