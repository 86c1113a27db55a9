"""What each role answers: strict shapes, sent along as JSON schemas."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Label = Literal["MOVES_TOWARD_GOAL", "DOES_NOT_MOVE_TOWARD_GOAL"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProfileAnswer(_Strict):
    """Taste in words; null where the tracks do not tell."""

    culture: str | None = Field(max_length=80)
    top_creator: str | None = Field(max_length=120)
    top_genre: str | None = Field(max_length=80)


class GoalAnswer(_Strict):
    """The goal in the listener's own words."""

    goal: str = Field(min_length=5, max_length=600)


class ListenerAnswer(_Strict):
    """A message, the thought behind it, and what the last item did for the goal (null when there is none to
    judge).
    """

    thought: str = Field(max_length=600)
    message: str = Field(min_length=3, max_length=800)
    progress: Label | None


class ClosingAnswer(_Strict):
    """What the last item did for the goal."""

    thought: str = Field(max_length=600)
    progress: Label | None


class RecommenderAnswer(_Strict):
    """A candidate's handle, or nothing_fits; and the reply."""

    thought: str = Field(max_length=600)
    handle: str | None
    nothing_fits: bool
    message: str = Field(min_length=3, max_length=1200)
