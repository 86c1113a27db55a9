"""A proxy as plain values and one Arrow table, and back: coefficients, feature order, calibrators,
thresholds, window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from tastemaker.errors import ArtifactError, InputError
from tastemaker.retention.calibrate import Calibrator
from tastemaker.retention.proxy.model import SIDES, Proxy, ProxySettings
from tastemaker.retention.threshold import Threshold

VERSION = 1


def to_parts(proxy: Proxy) -> tuple[dict[str, Any], pa.Table]:
    """What JSON holds (settings, cuts, calibrators, thresholds, about), and the table feature, slope,
    neutral_slope.
    """
    neutral = proxy.neutral_slopes or tuple(0.0 for _ in proxy.slopes)
    about = {
        "version": VERSION,
        "settings": asdict(proxy.settings) | {"features": list(proxy.settings.features)},
        "cuts": list(proxy.cuts),
        "neutral_cut": proxy.neutral_cut,
        "n": proxy.n,
        "calibrators": {side: one.as_mapping() for side, one in proxy.calibrators.items()},
        "thresholds": {side: asdict(one) for side, one in proxy.thresholds.items()},
        "about": dict(proxy.about),
    }
    table = pa.table(
        {
            "feature": list(proxy.settings.features),
            "slope": list(proxy.slopes),
            "neutral_slope": list(neutral),
        }
    )
    return about, table


def from_parts(about: Mapping[str, Any], table: pa.Table) -> Proxy:
    """The proxy back. Raises ArtifactError where the parts do not belong together or are of another
    version.
    """
    try:
        settings = ProxySettings(
            **(dict(about["settings"]) | {"features": tuple(about["settings"]["features"])})
        )
        if about["version"] != VERSION or tuple(table["feature"].to_pylist()) != settings.features:
            raise ArtifactError(
                "the proxy's parts are of another version or do not list the same features; fit it again"
            )
        neutral = tuple(table["neutral_slope"].to_pylist()) if settings.kind == "binary" else ()
        return Proxy(
            settings,
            tuple(table["slope"].to_pylist()),
            tuple(float(one) for one in about["cuts"]),
            neutral,
            float(about["neutral_cut"]),
            int(about["n"]),
            {side: Calibrator.of(one) for side, one in about["calibrators"].items() if side in SIDES},
            {side: Threshold(**one) for side, one in about["thresholds"].items() if side in SIDES},
            dict(about["about"]),
        )
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise ArtifactError(
            f"the proxy cannot be read ({type(error).__name__}: {error}); fit it again"
        ) from None
