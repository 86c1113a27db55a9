"""A certificate for people says what was claimed, what was found and what has to be believed, in both
forms.
"""

import html
import json
import re

import numpy as np
import pytest

from tastemaker.explore.gate.certify import GateSettings, certify
from tastemaker.explore.policy.softmax import TablePolicy
from tastemaker.explore.table import Log, Split
from tastemaker.reports.certificate import claim, markdown, page


@pytest.fixture(scope="module")
def values():
    """Two candidates of one gate as JSON holds them: the logger itself, which passes, and one that the log
    cannot support.
    """
    draws = np.random.default_rng(0)
    logs = []
    for rows in (200, 400):
        action = draws.integers(0, 4, rows)
        logs.append(
            Log(
                np.zeros((rows, 1)),
                action,
                (draws.random(rows) < 0.9) * 1.0,
                np.full(rows, 0.25),
                ["a", "b<i>", "c", "d", "e"],
            )
        )
    known = np.array([0.25, 0.25, 0.25, 0.25, 0.0])
    candidates = [TablePolicy(known[None, :]), TablePolicy(np.array([[0.0, 0.0, 0.0, 0.1, 0.9]]))]
    certificates = certify(candidates, Split(logs[0], *logs, "split"), GateSettings())
    return [json.loads(certificate.to_json()) for certificate in certificates]


def test_both_forms_say_the_same(values):
    assert [item["passed"] for item in values] == [True, False]
    for chosen, verdict in ((0, "May go live"), (1, "Must not go live")):
        text, shown = markdown(values, chosen), page(values, chosen)
        assert text.startswith(f"# {verdict}\n") and f"<h1>{verdict}</h1>" in shown
        plain = html.unescape(re.sub(r"<[^>]+>", " ", shown))
        for line in (
            claim(values[chosen]),
            values[chosen]["reason"],
            "paired betting",
            *values[chosen]["assumptions"],
        ):
            assert line in text and line in plain
        assert "<script" not in shown


def test_the_claim_is_said_as_it_stands(values):
    good = values[0]
    assert claim(good).startswith(
        "With probability 0.95, this policy earns at least 95% of what the logger earns, and never less"
        " than 90%"
    )
    assert "at least 0.01 a round more than 95%" in claim(good | {"margin": 0.01})
    assert (
        "at most 0.02 a round less than 95% of what the logger earns (earlier deployments have banked that)"
        in claim(good | {"margin": -0.02})
    )
    assert claim(values[1]).startswith("It was not shown that, with probability 0.95,")
