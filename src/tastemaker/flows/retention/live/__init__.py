"""The survey in the running product: asking, learning from answers, ranking by them, testing that."""
