"""Vectors -> Semantic IDs: residual k-means or RQ-VAE, collisions, reports. `fit_rqvae`, which needs torch,
is in `.rqvae`.
"""

from tastemaker.semantic_ids.codebook import Codebook, codeword_rows, encode
from tastemaker.semantic_ids.collisions import Groups, Resolved, encode_unique, last_level_costs, resolve
from tastemaker.semantic_ids.report import SidReport, sid_report
from tastemaker.semantic_ids.rkmeans import RkmeansSettings, fit_rkmeans
from tastemaker.semantic_ids.sizes import codebook_sizes, multi_resolution

__all__ = [
    "Codebook",
    "Groups",
    "Resolved",
    "RkmeansSettings",
    "SidReport",
    "codebook_sizes",
    "codeword_rows",
    "encode",
    "encode_unique",
    "fit_rkmeans",
    "last_level_costs",
    "multi_resolution",
    "resolve",
    "sid_report",
]
