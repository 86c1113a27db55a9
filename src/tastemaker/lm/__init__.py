"""The language model: vocabulary, bases, training, decoding, sentence vectors. Only `vocabulary` is free of
torch.
"""
