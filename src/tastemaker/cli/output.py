"""What a command prints: a readable text, or one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
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
