"""What listeners are after: our own 44 templates, filled from the catalogue by keyed draws."""

from tastemaker.converse.goals.draw import Draft, Sampler, sample
from tastemaker.converse.goals.templates import CATEGORIES, SPECIFICITIES, Template, templates

__all__ = ["CATEGORIES", "SPECIFICITIES", "Draft", "Sampler", "Template", "sample", "templates"]
