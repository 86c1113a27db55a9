"""Words for constraints and back: a lexicon of fields and values, phrases that say a constraint, and a parser
that reads it.
"""
