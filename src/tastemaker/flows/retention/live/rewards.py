"""The proxy as the reward that fine-tuning samples its targets by."""

from __future__ import annotations

import numpy as np

from tastemaker.corpus.events import Histories
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.retention.live.context import Context
from tastemaker.flows.retention.live.deployed import load_deployed
from tastemaker.retention.features import Floats, history_features, matrix
from tastemaker.retention.proxy import predict_arrays


def event_rewards(pipeline: Pipeline, train: Histories) -> Floats:
    """(E,) how likely a good answer would be for each event of `train`, p_pos of the proxy that the
    setting `reward` names.

    Features that only a served list has (score, lead, place) stand at their mean among the answers: there is
    no score yet when examples are made. Raises ArtifactError when there is no such proxy.
    """
    proxy = load_deployed(pipeline.workspace, pipeline.workspace.settings.reward)
    context = Context(pipeline.data, pipeline.workspace.table("interactions", full=False), train)
    means = proxy.about.get("means", {})
    parts = []
    for row, user in enumerate(train.users):
        result = history_features(context.known, context.person(str(user), train.of(row).tolist()))
        n = len(train.of(row))
        result |= {
            name: np.full(n, float(means.get(name, 0.0)))
            for name in proxy.settings.features
            if name not in result
        }
        parts.append(predict_arrays(proxy, matrix(result, proxy.settings.features, n))[0])
        pipeline.report("rewards", row + 1, len(train.users), "")
    return np.concatenate(parts)
