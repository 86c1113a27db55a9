"""The loop: losses against slow oracles, every dial has an effect, killed runs end bit for bit like unkilled
ones.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from recipes.small import small

from tastemaker.errors import ArtifactError, InputError, ModelError
from tastemaker.lm import decode
from tastemaker.lm.base import weights_hash
from tastemaker.lm.train import Settings, train
from tastemaker.lm.training import losses
from tastemaker.lm.training.batches import Batches, micro_batches, read_examples
from tastemaker.lm.training.interrupt import Interruption, at_once
from tastemaker.lm.training.regularise import Dropout, moving_average

QUICK = Settings(steps=6, batch_rows=8, warmup=2, learning_rate=3e-3, log_every=1, seed=5)


@pytest.fixture
def run(vocabulary, histories, tiny):
    """Train a fresh tiny model and return it with its metrics."""

    def go(settings=QUICK, examples=histories, state=None, dtype=torch.float32, **more):
        model = small(vocabulary, tiny, seed=1).to(dtype)
        return model, list(train(model, vocabulary, examples, settings, state, **more))

    return go


def _flat(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


# ---- losses


@pytest.mark.parametrize("stage", ["cpt", "sft"])
@pytest.mark.parametrize("chunk", [losses.CHUNK_LOGITS, 1000])
def test_loss_and_gradient_equal_a_slow_oracle(stage, chunk, vocabulary, histories, tiny, table, monkeypatch):
    monkeypatch.setattr(losses, "CHUNK_LOGITS", chunk)
    model = small(vocabulary, tiny, seed=1)
    rows = histories.column("tokens").to_pylist()[:7]
    weights = [1.0, 0.5, 2.0, 1.0, 0.25, 1.0, 3.0]
    data = read_examples(table(rows, weights=weights), vocabulary, stage == "sft", 64)
    total = sum(
        losses.batch_loss(model, vocabulary, batch, Settings(stage=stage)).loss
        for batch in micro_batches(data, np.arange(7), 40)
    )
    expected, level_sums = 0.0, np.zeros(vocabulary.levels)
    for row, weight in zip(rows, weights, strict=True):
        logits = model(torch.tensor([row])).logits[0]
        for place in range(1, len(row)):
            level = int(vocabulary.level_of(row[place]))
            if stage == "sft" and level < 0:
                continue
            inside = vocabulary.sid_slice(level) if stage == "sft" else slice(0, vocabulary.size)
            logs = torch.log_softmax(logits[place - 1, inside], 0)
            loss = -logs[row[place] - inside.start]
            expected = expected + weight * loss
            if level >= 0:
                level_sums[level] += weight * float(loss.detach())
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    slow = torch.autograd.grad(expected, list(model.parameters()))
    fast = torch.autograd.grad(total, list(model.parameters()))
    for slow_value, other in zip(slow, fast, strict=True):
        torch.testing.assert_close(slow_value, other, atol=1e-5, rtol=1e-4)
    whole = next(micro_batches(data, np.arange(7), 10_000))
    sums = losses.batch_loss(model, vocabulary, whole, Settings(stage=stage))
    assert sums.levels[:-1].tolist() == pytest.approx(level_sums.tolist(), rel=1e-5)


def test_gradients_do_not_depend_on_padding_or_micro_batches(run):
    """In float64, where no rounding is near the bounds."""
    whole, _ = run(replace(QUICK, micro_tokens=100_000), dtype=torch.float64)
    pieces, _ = run(replace(QUICK, micro_tokens=30), dtype=torch.float64)
    torch.testing.assert_close(_flat(whole), _flat(pieces), atol=1e-5, rtol=1e-4)


def test_the_mean_step_gradient_is_the_gradient_of_the_mean_loss(vocabulary, histories, tiny):
    """Short and long histories count alike: over an epoch, steps average to the whole data's weighted loss
    per token.
    """
    model = small(vocabulary, tiny, seed=1)
    data = read_examples(histories, vocabulary, True, 64)

    def gradient(rows):
        scale = 1 / (data.mean_target_weight * len(rows))
        loss = sum(
            losses.batch_loss(model, vocabulary, batch, Settings(stage="sft")).loss * scale
            for batch in micro_batches(data, rows, 64)
        )
        return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()))])

    batches = Batches(data.count, 10, seed=0)
    steps = torch.stack([gradient(batches.at(step)) for step in range(6)]).mean(0)
    torch.testing.assert_close(steps, gradient(np.arange(data.count)), atol=1e-6, rtol=1e-4)


# ---- batches


@hypothesis_settings(max_examples=50)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 5))
def test_every_epoch_shows_every_example_once(count, rows, seed):
    batches = Batches(count, rows, seed)
    stream = np.concatenate([batches.at(step) for step in range(math.ceil(3 * count / batches.rows))])
    for epoch in range(3):
        assert sorted(stream[epoch * count : (epoch + 1) * count]) == list(range(count))
    assert (Batches(count, rows, seed).at(2) == batches.at(2)).all()


def test_passes_are_shuffled_inside_and_kept_in_order() -> None:
    batches = Batches(90, 10, 0, passes=3)
    for place in range(3):
        rows = np.concatenate([batches.at(step) for step in range(3 * place, 3 * place + 3)])
        assert sorted(rows) == list(range(30 * place, 30 * place + 30))
        assert (np.diff(rows) < 0).any()


@hypothesis_settings(max_examples=40)
@given(st.lists(st.integers(2, 12), min_size=1, max_size=9), st.integers(1, 60), st.integers(0, 99))
def test_micro_batches_hold_every_target_once(lengths, limit, seed):
    from recipes.small import build_small

    vocabulary = build_small((4,))
    draws = np.random.default_rng(seed)
    rows = [draws.integers(0, vocabulary.size, length).tolist() for length in lengths]
    masks = [[0] * (length - 1) + [1] if length % 2 else [1] * length for length in lengths]
    import pyarrow as pa

    data = read_examples(
        pa.table(
            {
                "tokens": rows,
                "loss_mask": masks,
                "weight": np.arange(1, len(rows) + 1.0),
                "source": ["x"] * len(rows),
            }
        ),
        vocabulary,
        False,
        64,
    )
    positions = []
    for batch in micro_batches(data, np.arange(len(rows)), limit):
        width = batch.inputs.shape[1]
        assert batch.inputs.numel() <= limit or len(batch.inputs) == 1
        for place, target, weight in zip(
            batch.positions.tolist(), batch.targets.tolist(), batch.weights.tolist(), strict=True
        ):
            row = int(weight) - 1
            line, column = divmod(place, width)
            assert batch.inputs[line, : column + 1].tolist() == rows[row][: column + 1]
            positions.append((row, column + 1, target))
    expected = [(i, t, row[t]) for i, row in enumerate(rows) for t in range(1, len(row)) if masks[i][t]]
    assert sorted(positions) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": [[1, 2], [1, 9999]]}, "row 2 has token 9999"),
        ({"tokens": [[1, 2], [1, -1]]}, "row 2 has token -1"),
        ({"masks": [[0, 1], [0, 1, 1]]}, "row 2 loss_mask"),
        ({"weights": [1.0, -1.0]}, "row 2 has a weight"),
        ({"weights": [math.nan, 1.0]}, "row 1 has a weight"),
        ({"masks": [[1, 0], [1, 0]]}, "no token to predict"),
        ({"tokens": [[1, 2], [1] * 65], "masks": [[0, 1], [1] * 65]}, "row 2 has more than 64 tokens"),
    ],
)
def test_bad_examples_name_the_row(change, message, run, table):
    base = {"tokens": [[1, 2], [3, 4]], "masks": [[0, 1], [0, 1]], "weights": [1.0, 1.0], **change}
    with pytest.raises(InputError, match=message):
        run(examples=table(base["tokens"], base["masks"], base["weights"]))


# ---- dials


CHANGES = {
    "stage": "sft",
    "batch_rows": 4,
    "learning_rate": 1e-3,
    "warmup": 4,
    "schedule": "constant",
    "floor": 0.5,
    "weight_decay": 0.5,
    "betas": (0.5, 0.9),
    "clip": 0.01,
    "dropout": 0.1,
    "average": 0.9,
    "freeze": "old",
    "seed": 6,
    "steps": 5,
}


@pytest.fixture
def plain(run):
    return _flat(run()[0])


@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_changes_the_weights(name, run, plain):
    changed, _ = run(replace(QUICK, **{name: CHANGES[name]}))
    assert not torch.equal(_flat(changed), plain)
    assert replace(QUICK, **{name: CHANGES[name]}).fingerprint() != QUICK.fingerprint()


def test_cadence_changes_nothing(run, plain, tmp_path):
    other, _ = run(replace(QUICK, log_every=4, checkpoint_every=0.0, threads=1), state=tmp_path)
    assert torch.equal(_flat(other), plain)


def test_example_weights_change_the_weights(run, plain, histories, table):
    rows = histories.column("tokens").to_pylist()
    heavier, _ = run(examples=table(rows, weights=[3.0 if i % 2 else 1.0 for i in range(len(rows))]))
    doubled, _ = run(examples=table(rows, weights=[2.0] * len(rows)))
    assert not torch.equal(_flat(heavier), plain)
    torch.testing.assert_close(_flat(doubled), plain, atol=1e-6, rtol=1e-5)


def test_learning_rate_schedule():
    settings = Settings(learning_rate=1.0, warmup=10, schedule="cosine", floor=0.1)
    assert settings.rate(0, 110) == pytest.approx(0.1) and settings.rate(10, 110) == 1.0
    assert settings.rate(60, 110) == pytest.approx(0.55) and settings.rate(110, 110) == pytest.approx(0.1)
    assert replace(settings, schedule="constant").rate(109, 110) == 1.0


def test_freezing_keeps_the_old_rows_bit_for_bit(run, vocabulary, tiny):
    model, _ = run(replace(QUICK, freeze="old", weight_decay=0.5, average=0.9))
    start = small(vocabulary, tiny, seed=1)
    for (name, weight), (_, other) in zip(model.named_parameters(), start.named_parameters(), strict=True):
        if "embed" in name:
            assert torch.equal(weight[:256], other[:256]) and not torch.equal(weight[256:], other[256:])
        else:
            assert torch.equal(weight, other)
        assert weight.requires_grad


def test_the_average_is_the_recursion(vocabulary, tiny):
    model = small(vocabulary, tiny, seed=1)
    average = moving_average(model, 0.3)
    assert moving_average(model, 0.0) is None
    expected = _flat(model)
    for step in range(1, 6):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(step)))
        average.update_parameters(model)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * _flat(model)
    torch.testing.assert_close(_flat(average.module), expected)
    assert average.module.lm_head.weight is average.module.model.embed_tokens.weight


def test_dropout_has_its_rate_and_ends_with_training(vocabulary, tiny):
    model = small(vocabulary, tiny, seed=1)
    tokens = torch.arange(40).view(1, 40)
    before = model(tokens).logits
    dropout = Dropout(model, 0.25)
    assert len(dropout.handles) == 1 + 2 * tiny.layers
    model.train()
    dropout.seed(1)
    embedded = model.get_input_embeddings()(torch.arange(200).view(1, 200))
    assert float((embedded == 0).float().mean()) == pytest.approx(0.25, abs=0.02)
    weights = model.get_input_embeddings().weight[:200].unsqueeze(0)[embedded != 0]
    torch.testing.assert_close(embedded[embedded != 0], weights / 0.75)
    model.eval()
    assert torch.equal(model(tokens).logits, before)
    model.train()
    dropout.remove()
    assert torch.equal(model(tokens).logits, before)


# ---- stopping and resuming


def test_validation_keeps_the_best_weights_and_stops(run, tmp_path):
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.9])
    seen = []

    def validate(model):
        assert not model.training
        seen.append(weights_hash(model))
        return next(scores)

    settings = replace(QUICK, steps=40, passes=20, patience=2, average=0.5)
    model, metrics = run(settings, state=tmp_path, validate=validate)
    assert len(seen) == 4 and metrics[-1].stopped and metrics[-1].step == 28  # the second half
    assert weights_hash(model) == seen[1] and metrics[-1].best == 0.5
    again, repeated = run(settings, state=tmp_path, validate=validate)
    assert repeated == metrics[-1:] and weights_hash(again) == seen[1]


def test_the_latest_of_equally_good_passes_is_kept_and_a_run_can_end_before_its_schedule(run):  # type: ignore[no-untyped-def]
    scores, seen = iter([0.500, 0.5001, 0.498, 0.4]), []

    def validate(model):  # type: ignore[no-untyped-def]
        seen.append(weights_hash(model))
        return next(scores)

    settings = replace(QUICK, steps=16, passes=8, tolerance=0.01)
    model, metrics = run(settings, validate=validate)
    assert [metric.step for metric in metrics if metric.validation] == [10, 12, 14, 16]  # the second half
    assert weights_hash(model) == seen[2] and metrics[-1].best == 0.5001
    ended, steps = run(replace(settings, stop=7))
    assert steps[-1].step == 14 and steps[-1].total == 16 and weights_hash(ended) == seen[2]


SCRIPT = """
import os, signal, sys
import pyarrow.parquet as pq, torch
torch.set_num_threads(1)
from recipes.small import Shape, small
from tastemaker.lm.train import Settings, train
from tastemaker.lm import base
from tastemaker.lm.vocabulary import Vocabulary
state, vocabulary = sys.argv[1], Vocabulary.from_json(sys.argv[2])
publish = base._publish
def killed(partial, target):
    if target.name.endswith("5"):
        os.kill(os.getpid(), signal.SIGKILL)
    publish(partial, target)
base._publish = killed
model = small(vocabulary, Shape(layers=2, width=32, heads=2, context=64), seed=1)
settings = Settings(steps=8, batch_rows=8, warmup=2, learning_rate=3e-3, log_every=3, seed=5,
                    dropout=0.1, average=0.9, stage="sft", checkpoint_every=0.0)
for _ in train(model, vocabulary, pq.read_table(state + "/examples.parquet"), settings, state + "/run"):
    pass
"""


def test_a_killed_run_ends_bit_for_bit_like_an_unkilled_one(run, histories, vocabulary, tmp_path):
    """SIGKILL while the fifth checkpoint is being published, then a resume in another process; what it
    reports, in the middle of a window, too.
    """
    settings = replace(QUICK, steps=8, dropout=0.1, average=0.9, stage="sft", log_every=3)
    straight, lines = run(settings)
    pq.write_table(histories, tmp_path / "examples.parquet")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), vocabulary.to_json()], env=environment, check=False
    )
    assert done.returncode == -signal.SIGKILL
    left = sorted(entry.name[:15] for entry in (tmp_path / "run").iterdir())
    assert left == [".step-000000005", "step-000000004"]
    resumed, metrics = run(settings, state=tmp_path / "run")
    assert [metric.step for metric in metrics] == [6, 8]
    assert [(metric.loss, metric.level_losses) for metric in metrics] == [
        (metric.loss, metric.level_losses) for metric in lines[1:]
    ]
    assert torch.equal(_flat(resumed), _flat(straight))
    assert [entry.name for entry in (tmp_path / "run").iterdir()] == ["step-000000008"]


@pytest.mark.parametrize("stop", [2, 11])
def test_a_stopped_run_goes_on_bit_for_bit(stop, run, tmp_path, vocabulary, histories, tiny):
    """Frozen rows, average, best weights and patience all survive: here every validation after the first is
    worse.
    """
    settings = replace(QUICK, steps=16, passes=8, checkpoint_every=0.0, average=0.5, freeze="old", patience=2)

    def validate(model):
        return -float(model.get_input_embeddings().weight.detach()[vocabulary.base_size :].abs().sum())

    straight, expected = run(settings, validate=validate)
    assert expected[-1].step == 14 and expected[-1].stopped
    for metrics in train(
        small(vocabulary, tiny, seed=1), vocabulary, histories, settings, tmp_path, validate=validate
    ):
        if metrics.step == stop:
            break
    resumed, metrics = run(settings, state=tmp_path, validate=validate)
    assert torch.equal(_flat(resumed), _flat(straight)) and metrics[-1].step == 14


def test_checkpoints_of_another_run_are_refused_with_both_hashes(run, tmp_path, histories, vocabulary, tiny):
    run(state=tmp_path)
    other = replace(QUICK, learning_rate=1e-3)
    with pytest.raises(
        ArtifactError, match=f"other settings .*{QUICK.fingerprint()}.*{other.fingerprint()}.*delete"
    ):
        run(other, state=tmp_path)
    with pytest.raises(ArtifactError, match="other examples"):
        run(examples=histories.slice(1), state=tmp_path)
    with pytest.raises(ArtifactError, match="other model"):
        list(train(small(vocabulary, tiny, seed=2), vocabulary, histories, QUICK, tmp_path))


def test_damaged_checkpoints_are_refused_by_name(run, tmp_path):
    run(state=tmp_path)
    file = tmp_path / "step-000000006" / "weights.safetensors"
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    with pytest.raises(ArtifactError, match=r"weights\.safetensors: damaged"):
        run(state=tmp_path)
    (file.parent / "manifest.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        run(state=tmp_path)


def test_divergence_is_named(vocabulary, histories, tiny):
    model = small(vocabulary, tiny, seed=1)
    with torch.no_grad():
        model.model.norm.weight.fill_(math.nan)
    with pytest.raises(ModelError, match="diverged at step 1"):
        list(train(model, vocabulary, histories, QUICK))


# ---- learning


def test_it_learns_what_follows_from_the_user_and_not_only_from_the_prefix(vocabulary, tiny, table):
    """First-code loss falls to about nothing, and swapping histories changes what is predicted."""
    draws = np.random.default_rng(0)
    items = np.stack(np.meshgrid(*[np.arange(size) for size in vocabulary.sizes], indexing="ij"), -1).reshape(
        -1, 3
    )
    items = items[draws.permutation(len(items))[:24]]
    tokens = vocabulary.sid_tokens(items)
    bos = vocabulary.special("bos")
    rows = [[bos, *tokens[i].tolist(), *tokens[(i * 5 + 3) % 24].tolist()] for i in range(24)]
    masks = [[0] * 4 + [1] * 3] * 24
    model = small(vocabulary, tiny, seed=1)
    settings = Settings(
        stage="sft", steps=200, batch_rows=24, learning_rate=1e-2, warmup=10, log_every=50, weight_decay=0.0
    )
    metrics = list(train(model, vocabulary, table(rows, masks), settings))
    assert metrics[0].level_losses[0] > 0.5 and metrics[-1].level_losses[0] < 0.05
    context = decode.prefill(model, torch.tensor(rows)[:, :4], torch.full((24,), 4))
    first = (context.hidden @ decode.level_heads(model, vocabulary)[0].T).argmax(1).numpy()
    assert (first == items[(np.arange(24) * 5 + 3) % 24, 0]).all()


def test_trainings_that_run_at_once_end_together_and_the_cause_is_raised() -> None:
    def fails(interruption: Interruption) -> int:
        raise ModelError("training diverged")

    def waits(interruption: Interruption) -> int:
        while not interruption.pending:
            time.sleep(0.001)
        raise KeyboardInterrupt

    with pytest.raises(ModelError, match="diverged"):
        at_once([waits, fails, waits])
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert at_once([lambda _: 1, lambda _: 2]) == [1, 2]
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_a_signal_reaches_trainings_in_other_threads() -> None:
    def waits(interruption: Interruption) -> None:
        signal.raise_signal(signal.SIGINT)
        while not interruption.pending:
            time.sleep(0.001)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        at_once([waits])


def test_signals_that_come_after_the_last_step_or_again_and_again_end_everything_whole() -> None:
    """Four of them while a thread computes, and none of its tasks looks."""
    ended = []

    def computes(interruption: Interruption) -> int:
        while not interruption.pending:
            time.sleep(0.01)
        time.sleep(0.2)
        ended.append(1)
        return 1

    def impatient(interruption: Interruption) -> int:
        for _ in range(4):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(0.01)
        return 2

    with pytest.raises(KeyboardInterrupt):
        at_once([computes, impatient])
    assert ended == [1]
    with pytest.raises(KeyboardInterrupt), Interruption():
        signal.raise_signal(signal.SIGTERM)
