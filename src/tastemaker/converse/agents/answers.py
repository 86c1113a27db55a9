"""What each role answers, sent along as JSON schemas; keys that a model adds of its own are let be."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ProfileAnswer(_Answer):
    """Taste in words; null where the tracks do not tell."""

    culture: str | None = Field(max_length=80)
    top_creator: str | None = Field(max_length=120)
    top_genre: str | None = Field(max_length=80)


class GoalAnswer(_Answer):
    """The goal in the listener's own words."""

    goal: str = Field(min_length=5, max_length=600)


class ListenerAnswer(_Answer):
    """A message, and the thought behind it."""

    thought: str = Field(default="", max_length=600)
    message: str = Field(min_length=3, max_length=800)


class RecommenderAnswer(_Answer):
    """A candidate's handle, or nothing_fits; the reply; and the field that it asks about, if any."""

    thought: str = Field(default="", max_length=600)
    handle: str | None
    nothing_fits: bool
    message: str = Field(min_length=3, max_length=1200)
    asks: str | None = Field(default=None, max_length=80)
