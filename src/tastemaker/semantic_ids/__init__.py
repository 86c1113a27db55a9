"""Vectors -> Semantic IDs: residual k-means or RQ-VAE (`.rqvae`, which needs torch), collisions, reports."""
