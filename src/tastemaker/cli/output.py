"""What a command prints: a readable text, or one JSON document."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn


def emit(result: Mapping[str, Any], as_json: bool) -> None:
    """Print `result`: as JSON, or its 'text' entry (flows write it for people)."""
    if as_json:
        print(
            json.dumps(
                {key: value for key, value in result.items() if key != "text"},
                ensure_ascii=False,
                indent=2,
                allow_nan=False,
            )
        )
    else:
        print(result["text"])


def fail(message: str, code: int) -> NoReturn:
    """One line on stderr and exit."""
    print("tastemaker: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(code)


def program() -> str:
    """How this program is called again from here: by its name where that is on the PATH, else by its file."""
    called = Path(sys.argv[0])
    on_path = shutil.which("tastemaker")
    if on_path is not None and Path(on_path).resolve() == called.resolve():
        return "tastemaker"
    if called.name == "__main__.py":
        return "python -m tastemaker"
    return str(called) if called.name == "tastemaker" else "tastemaker"
