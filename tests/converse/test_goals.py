"""Goals: 44 templates of our own, keyed draws, and what a catalogue cannot fill."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tastemaker.converse.constraints import feasible
from tastemaker.converse.goals import CATEGORIES, SPECIFICITIES, Sampler, sample, templates
from tastemaker.errors import InputError

if TYPE_CHECKING:
    from tests.converse.conftest import Small


def test_there_are_44_templates_with_variants_and_no_word_of_another() -> None:
    kinds = templates()
    assert len(kinds) == 44
    assert {template.name for template in kinds} == {
        f"{category}-{letters}" for category in CATEGORIES for letters in SPECIFICITIES
    }
    assert all(len(set(template.variants)) >= 2 for template in kinds)
    assert {template.name: template.media for template in kinds if template.media} == {
        "A-HH": "audio",
        "C-HH": "image",
    }
    assert not any("upload" in text for template in kinds for text in template.variants)


def test_a_thousand_draws_cover_every_feasible_template_and_keep_its_letters(small: Small) -> None:
    drawn = sample(small.sampler, 1000)
    assert {goal.template.name for goal in drawn} == {template.name for template in small.sampler.feasible}
    assert all(feasible(goal.template.specificity, goal.n_first) for goal in drawn)
    assert len({goal.seed for goal in drawn}) > 400
    assert not any("{" in goal.text for goal in drawn)
    assert [goal.text for goal in sample(small.sampler, 20)] == [goal.text for goal in drawn[:20]]


def test_what_the_catalogue_cannot_fill_is_skipped_with_its_reason(small: Small) -> None:
    skipped = small.sampler.skipped
    assert "no field for 'words'" in skipped["B-LL"]
    assert "has no audio" in skipped["A-HH"]
    assert "C-HH" not in skipped
    assert len(skipped) + len(small.sampler.feasible) == 44


def test_a_goal_by_picture_needs_one_that_is_recognised(small: Small) -> None:
    blind = Sampler(small.catalogue, small.match, small.lexicon, 0, ("image",), lambda kind, row: False)
    assert "C-HH" in blind.skipped


def test_a_catalogue_too_small_for_any_goal_says_why(small: Small) -> None:
    poor = Sampler(small.catalogue, lambda clauses: small.match(clauses) * 0, small.lexicon, 0)
    with pytest.raises(InputError, match="no conversation goal can be drawn"):
        poor.draw(0)
