"""The assistant: one turn in, a stream of typed parts out; every item, fact and number in it is checked."""
