from __future__ import annotations

import threading
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.chat import (
    Budget,
    BudgetReached,
    Limits,
    Media,
    Price,
    Request,
    Usage,
    maximum,
    system,
    user,
)
from tastemaker.chat.budget import estimated_input
from tastemaker.errors import InputError

from .conftest import Pick

PRICE = Price(input=2.0, output=10.0, as_of=date(2026, 11, 1))


def test_money_of_usage():
    assert PRICE.of(Usage(1_000_000, 100_000)) == pytest.approx(2 + 1)


def test_a_limit_of_money_needs_a_price():
    with pytest.raises(InputError, match="needs the price"):
        Budget(Limits(money=5))
    with pytest.raises(InputError, match="above 0"):
        Limits(calls=0)


@given(
    st.lists(
        st.tuples(st.integers(1, 500), st.integers(1, 500), st.floats(0, 1), st.booleans()), max_size=60
    ),
    st.integers(1, 5000),
    st.integers(1, 40),
)
def test_spend_never_passes_a_limit(calls, tokens, number):
    budget = Budget(Limits(calls=number, tokens=tokens, money=0.02), PRICE)
    for most_in, most_out, share, billed in calls:
        most = Usage(most_in, most_out)
        try:
            budget.reserve(most)
        except BudgetReached:
            continue
        budget.settle(most, Usage(int(share * most_in), int(share * most_out)) if billed else None)
        assert (
            budget.calls <= number
            and budget.usage.input + budget.usage.output <= tokens
            and budget.money <= 0.02
        )


def test_what_is_under_way_is_waited_for_before_refusing():
    budget = Budget(Limits(tokens=100))
    first = Usage(50, 40)
    budget.reserve(first)
    waiting = threading.Thread(target=budget.reserve, args=(Usage(20, 20),))
    waiting.start()
    budget.settle(first, Usage(10, 10))
    waiting.join(60)
    assert not waiting.is_alive()
    budget.settle(Usage(20, 20), Usage(20, 20))
    with pytest.raises(
        BudgetReached, match="100 tokens is reached: 60 spent, the next call may need 41 more"
    ):
        budget.reserve(Usage(41, 0))


@given(st.text(max_size=300))
def test_the_maximum_bounds_the_estimate(text):
    request = Request(
        (system(text), user(text, Media(b"x" * 64, "image/png"), Media(b"y" * 90_000, "audio/wav"))), Pick
    )
    most = maximum(request)
    assert estimated_input(request) <= most.input and most.output == request.sampling.max_tokens
    assert most.input >= len(text.encode()) * 2 + 1600
