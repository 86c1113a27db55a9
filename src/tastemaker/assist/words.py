"""Parts as plain text, for a terminal and for clients that know nothing but text."""

from __future__ import annotations

from tastemaker.assist.parts import Explanation, Item, NothingFits, Notice, Part, Question, Text, Understood


def plain_text(part: Part) -> str:
    """A part in words; empty for parts that only a page shows."""
    if isinstance(part, Text | Notice):
        return part.text
    if isinstance(part, Item):
        by = f", {part.creator}" if part.creator else ""
        unmet = f" (misses: {', '.join(part.unmet)})" if part.unmet else ""
        return f"{part.handle}. {part.title}{by}{unmet}"
    if isinstance(part, Explanation):
        return f"   {part.text}"
    if isinstance(part, Question):
        return part.text + (f" ({' / '.join(part.options)})" if part.options else "")
    if isinstance(part, NothingFits):
        ways = [f"   without {way['label']}: {way['count']} fit" for way in part.ways]
        return "\n".join([part.text, *ways])
    assert isinstance(part, Understood | Part)
    return ""
