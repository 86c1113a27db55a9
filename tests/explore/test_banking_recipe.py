"""The banking recipe's gate, which sees rewarded rows alone, decides as the library's `certify` does on whole
logs.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from tastemaker.explore.estimate import served_by
from tastemaker.explore.gate import GateSettings, certify, collect
from tastemaker.explore.ledger import Ledger, live_gains
from tastemaker.explore.policy import TablePolicy
from tastemaker.explore.table import Log
from tastemaker.stats import betting

ROUNDS = 40_000


@pytest.fixture(scope="module")
def banking():
    """The recipe, from the repository's root."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2]))
        for name in [name for name in sys.modules if name == "recipes"]:
            patch.delitem(sys.modules, name)
        from recipes.explore import banking as found

        patch.setattr(found, "ROUNDS", ROUNDS)
        yield found


def logged(rows, n, played, pi0, mixed):
    """A whole log: the rewarded rows, the rest unrewarded; the 81st action is the new item, which pi0 never
    plays.
    """
    draws = np.random.default_rng(0)
    action = np.concatenate([rows, draws.choice(81, n - len(rows), p=played)])
    reward = np.r_[np.ones(len(rows)), np.zeros(n - len(rows))]
    log = Log(np.zeros((n, 1)), action, reward, played[action], [str(one) for one in range(81)])
    return served_by(log, TablePolicy(pi0[None, :])) if mixed else log


@pytest.mark.parametrize("mixed", [False, True])
def test_the_recipes_gate_is_the_librarys(banking, mixed):
    loop = banking.Loop()
    book, pi0 = Ledger(banking.C, 0.9, banking.DELTA, 3), np.r_[loop.small.logger, 0.0]
    played, gap = (loop.served(0.85 * loop.good, book), -0.001) if mixed else (loop.small.logger, 0.0)
    found = loop.certified(book, played, gap, np.random.default_rng(0))
    draws = np.random.default_rng(0)
    choose, judged = (loop.rewarded(played, int(part * ROUNDS), draws) for part in (0.2, 0.3))
    whole = np.r_[played, max(1 - played.sum(), 0.0)]
    s2, s3 = (
        logged(rows, int(part * ROUNDS), whole, pi0, mixed) for rows, part in ((choose, 0.2), (judged, 0.3))
    )
    ladder = [TablePolicy(np.r_[(1 - nu) * loop.good, nu][None, :]) for nu in banking.SHARES]
    settings = GateSettings(banking.C, book.gate_delta, gap, book.floor, cap=book.cap)
    certificates = certify(ladder, s2, s3, settings, split_hash="split")
    passed = [place for place, one in enumerate(certificates) if one.passed]
    assert found == (passed[-1] if passed else None)
    assert found is not None or mixed
    for place in (0, 5, 36):
        evidence = collect(ladder[place], s3, cap=book.cap)
        own = betting.log_wealth(evidence.paired(0.95), gap, evidence.low(0.95), anchor=0.0)
        cap = book.cap if mixed else 1.0
        assert loop.wealth(loop.old[place], judged, played, len(s3), 0.95, cap, gap) == pytest.approx(
            own, abs=1e-9
        )


def test_what_the_recipe_banks_is_what_live_rows_bank(banking):
    loop = banking.Loop()
    book = Ledger(banking.C, 0.9, banking.DELTA, 3)
    policy, pi0 = 0.85 * loop.good, loop.small.logger
    played = loop.served(policy, book)
    rows = loop.rewarded(played, 5_000, np.random.default_rng(1))
    log = Log(np.zeros((len(rows), 1)), rows, np.ones(len(rows)), played[rows], loop.small.world.actions)
    served = served_by(log, TablePolicy(pi0[None, :]))
    live = live_gains(Log(**{**vars(served), "deployed": policy[rows]}), book)
    np.testing.assert_allclose(live, (policy[rows] - banking.C * pi0[rows]) / played[rows], rtol=1e-9)
