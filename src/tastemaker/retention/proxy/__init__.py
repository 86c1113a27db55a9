"""A model of the answer for every impression, asked or not."""

from tastemaker.retention.proxy.artifact import from_parts, to_parts
from tastemaker.retention.proxy.model import Proxy, ProxySettings, fit_proxy, predict, predict_arrays
from tastemaker.retention.proxy.ordinal import fit_binary, fit_ordinal

__all__ = [
    "Proxy",
    "ProxySettings",
    "fit_binary",
    "fit_ordinal",
    "fit_proxy",
    "from_parts",
    "predict",
    "predict_arrays",
    "to_parts",
]
