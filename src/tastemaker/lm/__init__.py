"""The language model: vocabulary, base models, training, decoding, and encoders of sentences. Only `vocabulary` is free of torch."""
