"""The page of promises: all 35 are on it, none of their tests has gone, and it is what the harness writes."""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path

import pytest
from recipes.safety.promises import PAGE, PROMISES, RESULTS, Promise, page, state

TESTS = Path(__file__).parents[1]


def test_the_page_is_what_the_harness_writes_and_none_is_missing() -> None:
    results = json.loads(RESULTS.read_text())
    assert len(PROMISES) == 35 and PAGE.read_text() == page(results)
    assert not [
        number
        for number, promise in enumerate(PROMISES, 1)
        if state(promise, results.get(str(number))) == "BROKEN"
    ]


@pytest.mark.parametrize("promise", PROMISES, ids=range(1, 36))
def test_what_shows_a_promise_is_there(promise: Promise) -> None:
    assert promise.tests or promise.gap
    for name in promise.tests:
        file, _, function = name.partition("::")
        tree = ast.parse((TESTS / file).read_text())
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert function in functions if function else any(test.startswith("test_") for test in functions), (
            name
        )
    for command in promise.commands:
        assert importlib.util.find_spec(command.split()[0]), command
