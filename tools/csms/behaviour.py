"""What the bench answers when it is told to misbehave: rules, newest first, by action, message id and charge point."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Special(Enum):
    """Answers that are no answers."""

    SILENCE = "silence"  # no answer at all
    DROP = "drop"  # the socket is cut before the answer
    DROP_AFTER = "drop after"  # the normal answer, then the socket is cut
    WRONG_ID = "wrong id"  # the normal answer under an id nobody asked with
    TWICE = "twice"  # the normal answer, two times


SILENCE = Special.SILENCE
DROP = Special.DROP
DROP_AFTER = Special.DROP_AFTER
WRONG_ID = Special.WRONG_ID
TWICE = Special.TWICE


@dataclass(frozen=True)
class CallError:
    """Answer with a CALLERROR."""

    code: str = "InternalError"
    description: str = ""
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """Send this instead of an answer: `text` frame content, or bytes put into a text frame unchecked."""

    text: str | bytes


RAW = Raw

# None: the normal answer. A str: the normal answer with this status. A dict: this payload.
Answer = None | str | dict[str, Any] | Special | CallError | Raw


@dataclass
class Call:
    """A CALL of a charge point as rules see it."""

    identity: str
    uid: str
    action: str
    payload: dict[str, Any]


@dataclass(eq=False)
class Rule:
    """One behaviour; `used` counts how often it answered."""

    action: str | None
    message_id: str | None = None
    identity: str | None = None
    where: Callable[[Call], bool] | None = None
    answers: tuple[Answer | Callable[[Call], Answer], ...] = (None,)
    delay: float = 0.0
    times: int | None = None
    used: int = 0

    @property
    def spent(self) -> bool:
        """Nothing left to answer with."""
        return self.times is not None and self.used >= self.times

    def matches(self, call: Call) -> bool:
        """True if this rule answers `call`."""
        return (
            not self.spent
            and self.action in (None, call.action)
            and self.message_id in (None, call.payload.get("messageId"))
            and self.identity in (None, call.identity)
            and (self.where is None or self.where(call))
        )

    def take(self, call: Call) -> Answer:
        """The answer for `call`; a sequence gives one after the other."""
        answer = self.answers[min(self.used, len(self.answers) - 1)]
        self.used += 1
        return answer(call) if callable(answer) else answer


class Rules:
    """All rules of a bench; the newest that matches wins."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def add(
        self,
        action: str | None,
        *,
        message_id: str | None = None,
        identity: str | None = None,
        where: Callable[[Call], bool] | None = None,
        answer: Answer | Callable[[Call], Answer] | Sequence[Answer] = None,
        delay: float = 0.0,
        times: int | None = None,
    ) -> Rule:
        """Add a rule. `answer` as a list: these answers in turn, then the rule is spent (unless `times` says more).

        Raises ValueError for a delay or count below zero or an empty list."""
        answers: tuple[Any, ...] = (answer,)
        if isinstance(answer, list | tuple):
            answers = tuple(answer)
            times = len(answers) if times is None else times
        if delay < 0 or not answers or (times is not None and times < 0):
            raise ValueError("delay and times must not be negative, answers not empty")
        rule = Rule(action, message_id, identity, where, answers, delay, times)
        self._rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Forget one rule; a spent or unknown one is no error."""
        if rule in self._rules:
            self._rules.remove(rule)

    def clear(self) -> None:
        """Forget every rule: all answers are the normal ones again."""
        self._rules.clear()

    def find(self, call: Call) -> Rule | None:
        """The newest rule that answers `call`."""
        return next((rule for rule in reversed(self._rules) if rule.matches(call)), None)

    def __len__(self) -> int:
        return sum(not rule.spent for rule in self._rules)


def answer_from_json(value: Any) -> Answer:
    """An answer as control commands spell it: null, "Rejected", {"payload": {...}}, {"error": "InternalError"},
    {"raw": "text"}, {"special": "silence"}. Raises ValueError."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict) and len(value) >= 1:
        if isinstance(value.get("payload"), dict):
            return dict(value["payload"])
        if isinstance(value.get("error"), str):
            return CallError(value["error"], value.get("description", ""), value.get("details", {}))
        if isinstance(value.get("raw"), str):
            return Raw(value["raw"])
        if "special" in value:
            return Special(value["special"])
    raise ValueError(f"not an answer: {value!r}")
