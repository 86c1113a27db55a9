"""A model of the answer for every impression, asked or not."""

from tastemaker.retention.proxy.model import (
    Proxy,
    ProxySettings,
    fit_proxy,
    from_parts,
    predict,
    predict_arrays,
    to_parts,
)
from tastemaker.retention.proxy.ordinal import fit_ordinal

__all__ = [
    "Proxy",
    "ProxySettings",
    "fit_ordinal",
    "fit_proxy",
    "from_parts",
    "predict",
    "predict_arrays",
    "to_parts",
]
