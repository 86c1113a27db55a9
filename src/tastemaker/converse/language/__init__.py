"""Words for constraints and back: a lexicon of fields and values, phrases that say them, their parser."""
