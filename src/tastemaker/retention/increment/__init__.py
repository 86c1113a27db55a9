"""Does an answer tell who returns beyond what the log already tells?"""

from tastemaker.plugins import names_below

__getattr__ = names_below(__name__)
