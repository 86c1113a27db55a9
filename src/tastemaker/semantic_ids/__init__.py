"""Vectors -> Semantic IDs: residual k-means or RQ-VAE, collisions, reports. `fit_rqvae`, which needs torch,
is in `.rqvae`.
"""

from tastemaker.semantic_ids.codebook import Codebook, encode
from tastemaker.semantic_ids.collisions import encode_unique, with_suffix
from tastemaker.semantic_ids.report import SidReport, sid_report
from tastemaker.semantic_ids.rkmeans import RkmeansSettings, fit_rkmeans
from tastemaker.semantic_ids.sizes import codebook_sizes

__all__ = [
    "Codebook",
    "RkmeansSettings",
    "SidReport",
    "codebook_sizes",
    "encode",
    "encode_unique",
    "fit_rkmeans",
    "sid_report",
    "with_suffix",
]
