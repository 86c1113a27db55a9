"""No tensor of the training, scoring or search code is left on the processor while the model is on a GPU."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src" / "tastemaker"
MAKERS = ("arange", "empty", "eye", "from_numpy", "full", "ones", "rand", "randn", "tensor", "zeros")
# What is made before a model is moved, or read from files: there is no device yet.
BEFORE = {
    "lm/base.py": ("_seconds",),
    "lm/items.py": ("__init__", "start_model"),
    "lm/training/batches.py": ("_pad",),  # `MicroBatch.to` follows
    "retrieve/dialogue.py": ("_answer",),  # `prefill` moves the prompts
    "retrieve/items.py": ("padded",),  # `states` moves them
    "retrieve/memory.py": ("likeness",),  # of plain arrays
    "retrieve/retriever.py": ("_prefilled",),
    "retrieve/sasrec/network.py": ("load",),
}
FILES = sorted(
    path
    for folder in ("lm", "retrieve")
    for path in (ROOT / folder).rglob("*.py")
    if "import torch" in path.read_text()
)


def left_behind(source: str, before: tuple[str, ...] = ()) -> list[int]:
    """Lines that make a tensor without saying where, and do not move it at once."""
    tree = ast.parse(source)
    owner = {
        id(node): function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
    }
    moved = {
        id(node.func.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "to"
    }
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "torch"
        and node.func.attr in MAKERS
        and not any(word.arg == "device" for word in node.keywords)
        and id(node) not in moved
        and owner.get(id(node)) not in before
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_tensor_is_made_where_the_model_is(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    assert left_behind(path.read_text(), BEFORE.get(name, ())) == []


def test_the_check_finds_what_it_looks_for() -> None:
    source = (
        "def f(x):\n    a = torch.zeros(3)\n    b = torch.tensor([1]).to(x.device)\n    torch.ones(2,"
        " device=x.device)\n"
    )
    assert left_behind(source) == [2] and left_behind(source, ("f",)) == []
