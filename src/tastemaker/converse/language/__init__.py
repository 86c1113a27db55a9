"""Words for wishes and back: a lexicon of fields and values, phrases that say a wish, and a parser that reads
it.
"""
