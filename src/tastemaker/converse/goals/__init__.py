"""What listeners are after: our own 44 templates, filled from the catalogue by keyed draws."""

from tastemaker.converse.goals.draw import Draft as Draft
from tastemaker.converse.goals.draw import Sampler as Sampler
from tastemaker.converse.goals.draw import sample as sample
from tastemaker.converse.goals.templates import CATEGORIES as CATEGORIES
from tastemaker.converse.goals.templates import SPECIFICITIES as SPECIFICITIES
from tastemaker.converse.goals.templates import Template as Template
from tastemaker.converse.goals.templates import templates as templates
