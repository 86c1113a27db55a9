"""A data set of conversations as one self-contained page: facts, checks, and examples with covers and sound
inside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tastemaker.reports.templating as templating


def render(report: Mapping[str, Any]) -> str:
    """The page of a data set.

    report
        `title`; `notices` [text]; `facts` {name: value}; `checks` [(name, ok, what it says)];
        `conversations`, each {`heading`, `goal`, `about`, `profile`, `turns`}; a turn is {`number`,
        `message`, `media` [medium], `reply`, `note`, `item` {`title`, `facts`, `media` [medium]} or None}; a
        medium is (kind, media type, bytes, what it is).

    All text is escaped; sound and pictures are inside the page, nothing is fetched. Raises InputError for a
    medium that is neither sound nor picture.
    """
    return templating.render("conversation.html", **report, report=report)
