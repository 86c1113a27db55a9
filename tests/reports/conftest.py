"""A report with every section, in the shape that a run writes."""

import json
from typing import Any

import numpy as np
import pytest

from tastemaker.reports.evaluation import render
from tastemaker.stats import coverage_curve, effective_vocabulary


def interval(value: float, half: float) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half, "n": 22_363}


def sample_report() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    recall = {
        "popularity": 0.0115,
        "content neighbours": 0.0327,
        "co-occurrence": 0.0541,
        "SASRec (cross-entropy)": 0.0906,
        "Tastemaker": 0.0941,
    }
    methods, slices, reach = [], [], []
    for name, r in recall.items():
        values = {"R@5": r * 0.7, "N@5": r * 0.5, "R@10": r, "N@10": r * 0.6}
        method: dict[str, Any] = {
            "name": name,
            "values": {k: interval(v, 0.0012 + 0.03 * v) for k, v in values.items()},
        }
        if name != "SASRec (cross-entropy)":
            method["differences"] = {k: interval(v - 0.0906 * v / r, 0.0016) for k, v in values.items()}
        methods.append({**method, "highlight": name == "Tastemaker"})
        counts = rng.permutation(np.floor(22_363 * 10 * rng.dirichlet(np.full(12_101, 0.05 + r))))
        curve = coverage_curve(counts)
        reach.append(
            {
                "name": name,
                "effective": effective_vocabulary(counts),
                "distinct": int((counts > 0).sum()),
                "curve": curve.tolist(),
            }
        )
    for title, labels, sizes in (
        ("training events of the target", ["0", "1–5", "6–20", "> 20"], [138, 6059, 8328, 7838]),
        ("length of the history", ["3", "4–6", "7–12", "> 12"], [7121, 9903, 3870, 1469]),
    ):
        groups = [
            {
                "label": label,
                "n": n,
                "values": {
                    m: interval(recall[m] * (0.3 + 0.4 * place), 1.2 / n**0.5 * 0.2) for m in list(recall)[2:]
                },
            }
            for place, (label, n) in enumerate(zip(labels, sizes, strict=True))
        ]
        slices.append({"name": title, "metric": "R@10", "groups": groups})
    steps = list(range(0, 4001, 50))
    loss = [8.0 * np.exp(-s / 900) + 3.9 + 0.05 * rng.random() for s in steps]
    return {
        "title": "Beauty: leave-one-out, test",
        "subtitle": "22,363 users, 12,101 items, raw order, seen items removed, full ranking",
        "notices": [
            "Raw order: within one day the order of events follows the published file, which flatters every"
            " method."
        ],
        "metrics": {
            "names": ["R@5", "N@5", "R@10", "N@10"],
            "primary": "R@10",
            "baseline": "SASRec (cross-entropy)",
            "methods": methods,
        },
        "alarms": [
            {
                "name": "Collapsed lists",
                "ok": True,
                "text": "519 distinct items in all top-10 lists, 4.3 % of the catalogue.",
            },
            {
                "name": "Deaf to the user",
                "ok": False,
                "text": "The top 10 changed for 0 % of users when histories were swapped.",
            },
        ],
        "slices": slices,
        "coverage": {"items": 12_101, "methods": reach},
        "sids": {
            "facts": {
                "distinct / items": 0.871,
                "items alone": 0.779,
                "largest group": 14,
                "levels": [256, 128, 64, 32],
            },
            "levels": [
                _uses(rng, codes, evenness) for codes, evenness in ((256, 5), (128, 2), (64, 1), (32, 0.4))
            ],
            "group_sizes": {"1": 9430, "2": 812, "3": 204, "4": 70, "9": 6, "14": 1},
        },
        "training": [
            {
                "name": "Continued pre-training",
                "x": "step",
                "y": "loss, nats a token",
                "series": [
                    {"name": "training", "x": steps, "y": loss},
                    {"name": "validation", "x": steps[::10], "y": [v + 0.2 for v in loss[::10]]},
                ],
            },
            {
                "name": "Validation",
                "y": "N@10",
                "series": [
                    {"name": "N@10", "x": steps, "y": [0.06 * (1 - np.exp(-s / 1200)) for s in steps]}
                ],
            },
        ],
        "settings": {
            "small model": {"width": 256, "layers": 4, "dropout": 0.1},
            "training": {"learning rate": 0.001, "batch tokens": 16384, "resume": True},
        },
        "provenance": {
            "version": "0.1.0",
            "data": "items.parquet 0a77…",
            "seed": 0,
            "machine": "2 CPU cores, fp32",
        },
        "commands": [
            "tastemaker init beauty",
            "tastemaker ingest beauty --items items.parquet --interactions interactions.parquet",
            "tastemaker evaluate beauty",
        ],
        "terms": {"Seen removed": "Items of the user's own history are never recommended."},
    }


def _uses(rng: np.random.Generator, codes: int, evenness: float) -> list[int]:
    return np.floor(rng.dirichlet(np.full(codes, evenness)) * 12_101).astype(int).tolist()


@pytest.fixture(scope="session")
def page() -> str:
    """The sample's page, by way of JSON as in a run."""
    return render(json.loads(json.dumps(sample_report())))


@pytest.fixture
def report() -> dict[str, Any]:
    return sample_report()
