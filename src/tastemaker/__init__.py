"""Tastemaker: a personal recommendation assistant built on an adapted pretrained language model.

    import tastemaker as tm

    shop = tm.Workspace.create("shop").ingest(items="items.parquet", interactions="events.csv").train()
    shop.recommend("U17", k=10)

Names are looked up when they are first asked for, so that importing the package loads nothing heavy.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.2.0"

# Threads of GNU OpenMP, torch's on Linux, wait for each other in a loop, by default for milliseconds: beside
# other work they take the processor from the one they wait for, and a step of training takes several times as
# long. It must be said before the library loads.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

if TYPE_CHECKING:
    from tastemaker.api import Workspace
    from tastemaker.assist.assistant import Assistant
    from tastemaker.errors import ArtifactError, InputError, ModelError, TastemakerError

    from . import converse, experiment, explore, retention

__all__ = [
    "ArtifactError",
    "Assistant",
    "InputError",
    "ModelError",
    "TastemakerError",
    "Workspace",
    "converse",
    "experiment",
    "explore",
    "retention",
]
_HOME = {"Workspace": "api", "Assistant": "assist.assistant"} | dict.fromkeys(
    ("ArtifactError", "InputError", "ModelError", "TastemakerError"), "errors"
)

if not TYPE_CHECKING:  # a checker knows the names above, and refuses others

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'tastemaker' has no attribute '{name}'")
        module = import_module(f"tastemaker.{_HOME.get(name, name)}")
        return getattr(module, name) if name in _HOME else module

    def __dir__() -> list[str]:
        return sorted([*__all__, "__version__"])
