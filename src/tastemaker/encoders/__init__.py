"""Items -> vectors: text, audio, image and behaviour views, (N, d) float32; a NaN row: no such view."""

from tastemaker.encoders.audio import audio_vectors as audio_vectors
from tastemaker.encoders.behaviour import behaviour_vectors as behaviour_vectors
from tastemaker.encoders.image import image_vectors as image_vectors
from tastemaker.encoders.report import VectorReport as VectorReport
from tastemaker.encoders.report import standardise as standardise
from tastemaker.encoders.report import vector_report as vector_report
from tastemaker.encoders.text import TfidfEncoder as TfidfEncoder
from tastemaker.encoders.text import fit_tfidf as fit_tfidf
from tastemaker.encoders.text import sentence_vectors as sentence_vectors
