"""What is left of the vectors after each level, the measure that every level must lower."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tastemaker.semantic_ids.codebook import Codebook, encode, subtract
from tastemaker.semantic_ids.views import Views


def reconstruction_errors(codebook: Codebook, views: Views) -> npt.NDArray[np.float64]:
    """(L + 1,) mean squared residual of the joint vector before level 1 and after each level."""
    z, present = codebook.latent(views)
    codes = encode(codebook, views)
    errors = [float(np.square(z, dtype=np.float64).sum(axis=1).mean())]
    for level, words in enumerate(codebook.codewords):
        z = subtract(z, present, words[codes[:, level]], codebook.blocks)
        errors.append(float(np.square(z, dtype=np.float64).sum(axis=1).mean()))
    return np.array(errors)
