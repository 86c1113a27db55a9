"""Vectors -> Semantic IDs: residual k-means or RQ-VAE, collisions, reports. `fit_rqvae`, which needs torch,
is in `.rqvae`.
"""
