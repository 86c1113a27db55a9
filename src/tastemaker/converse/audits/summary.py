"""A whole data set audited: every conversation, and whether they differ enough from one another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tastemaker.converse.audits.turns import FAULTS, Known, check, replay
from tastemaker.converse.constraints import demands
from tastemaker.converse.record import Conversation

ENOUGH, MOST_REPEATS, LEAST_OPEN = 20, 0.08, 0.8  # gates on variety, from so many conversations


@dataclass(frozen=True)
class Summary:
    """A data set's audit. faults: name -> (conversations with it, times); nothing: (said rightly, said,
    due). copies: conversations of which most messages stand in an earlier one. repeats: share of messages
    that are another's copy. openings: different first messages a conversation.
    """

    conversations: int
    turns: int
    faults: dict[str, tuple[int, int]]
    nothing: tuple[int, int, int]
    demands: int
    unread: int
    labels: dict[str, int]
    overruled: int
    unknown: int
    copies: int
    repeats: float
    openings: float

    @property
    def varied(self) -> bool:
        """No conversation is a copy of another, few messages are, and conversations begin differently."""
        enough = self.conversations >= ENOUGH
        return not self.copies and not (
            enough and (self.repeats > MOST_REPEATS or self.openings < LEAST_OPEN)
        )

    @property
    def ok(self) -> bool:
        """No fault of any kind, no copies."""
        return self.varied and not any(times for _, times in self.faults.values())

    @property
    def precision(self) -> float | None:
        """Share of "nothing fits" that were right; None when it was never said."""
        return self.nothing[0] / self.nothing[1] if self.nothing[1] else None

    @property
    def recall(self) -> float | None:
        """Share of turns that nothing fitted where it was said; None when there were none."""
        return self.nothing[0] / self.nothing[2] if self.nothing[2] else None

    @property
    def wording(self) -> float | None:
        """Share of demands that could be read out of the messages."""
        return 1.0 - self.unread / self.demands if self.demands else None


def audit(
    conversations: Iterable[Conversation], known: Known, report: Callable[[int], None] = lambda count: None
) -> Summary:
    """Every conversation checked anew, one at a time."""
    faulty: Counter[str] = Counter()
    times: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    messages: Counter[str] = Counter()
    openings: set[str] = set()
    for conversation in conversations:
        texts = [turn.message for turn in conversation.turns]
        totals["copies"] += sum(text in messages for text in texts) * 2 > len(texts)
        messages.update(texts)
        openings.add(texts[0] if texts else "")
        for line in check(conversation, known):
            faulty[line.name] += not line.ok
            times[line.name] += int(line.value)
        for facts in replay(conversation, known):
            totals["turns"] += 1
            totals["demands"] += len(demands(facts.constraints))
            totals["unknown"] += facts.unknown
            totals["said"] += facts.turn.nothing_fits
            totals["due"] += not facts.n_fit
            totals["right"] += facts.turn.nothing_fits and not facts.n_fit
        labels.update(str(line.label) for line in conversation.progress)
        totals["overruled"] += sum(line.overruled for line in conversation.progress)
        totals["conversations"] += 1
        report(totals["conversations"])
    return Summary(
        conversations=totals["conversations"],
        turns=totals["turns"],
        faults={name: (faulty[name], times[name]) for name in FAULTS},
        nothing=(totals["right"], totals["said"], totals["due"]),
        demands=totals["demands"],
        unread=times["wording"],
        labels=dict(sorted(labels.items())),
        overruled=totals["overruled"],
        unknown=totals["unknown"],
        copies=totals["copies"],
        repeats=1 - len(messages) / max(messages.total(), 1),
        openings=len(openings) / max(totals["conversations"], 1),
    )
