"""Items -> vectors: text, audio, image and behaviour views, each an (N, d) float32 array in which a missing
view is a NaN row.
"""

from tastemaker.encoders.audio import audio_vectors
from tastemaker.encoders.behaviour import behaviour_vectors
from tastemaker.encoders.image import image_vectors
from tastemaker.encoders.report import VectorReport, standardise, vector_report
from tastemaker.encoders.text import TfidfEncoder, fit_tfidf, sentence_vectors

__all__ = [
    "TfidfEncoder",
    "VectorReport",
    "audio_vectors",
    "behaviour_vectors",
    "fit_tfidf",
    "image_vectors",
    "sentence_vectors",
    "standardise",
    "vector_report",
]
