"""The language model: vocabulary, bases, training, decoding, vectors. Only `vocabulary` is free of torch."""
