"""A pure batch function over the parts of a large piece of work: in this process, or on a Ray cluster.

Whatever maps them, results come back in the order of the parts with the same bytes. A finished part is a file
under `cache/parts` of the workspace: the same command goes on where it was stopped, and a machine that dies
costs the parts it was at.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import pyarrow as pa

from tastemaker.errors import BusyError, InputError, TastemakerError
from tastemaker.store import Workspace, read_table, write_table
from tastemaker.store.files import sha256_bytes

RETRIES = 4  # times that a part is computed anew when the worker, or its machine, is lost
PARTS = "parts"  # folder of finished parts, under `cache`
Part = TypeVar("Part")
Batch = Callable[[Part], pa.Table]
Report = Callable[[str, float, float, str], None]


def mapped(
    batch: Batch[Part], parts: Sequence[Part], workspace: Workspace, label: str, key: str, report: Report
) -> Iterator[pa.Table]:
    """`batch` of each part, in order, by the workspace's engine. The files of finished parts go once the last
    result was taken.

    batch: a function of the part alone, that a worker can import or unpickle. label, key: name of the work,
    and all that its results depend on; a part that was finished under the same ones is not computed again.

    Raises BusyError when workers were lost more than `RETRIES` times over one part, or the cluster cannot be
    reached; InputError when the engine is not installed; and what `batch` raises.
    """
    name = f"{label.replace(' ', '-')}-{sha256_bytes(key.encode())[:24]}"
    folder = workspace.root / "cache" / PARTS
    files = [folder / f"{name}-{number:06}-of-{len(parts)}.parquet" for number in range(len(parts))]
    missing = {number: parts[number] for number, file in enumerate(files) if not file.exists()}
    count, engine = len(files) - len(missing), workspace.settings.engine
    note = "" if engine == "local" else f"on {engine}"
    report(label, count, len(files), note)
    results = _on_ray(batch, missing) if engine == "ray" and missing else _here(batch, missing)
    for number, table in results:
        write_table(files[number], table)
        count += 1
        report(label, count, len(files), note)
    for file in files:
        yield read_table(file)
    for file in files:
        file.unlink(missing_ok=True)


def _here(batch: Batch[Part], parts: Mapping[int, Part]) -> Iterator[tuple[int, pa.Table]]:
    return ((number, batch(part)) for number, part in parts.items())


def _on_ray(batch: Batch[Part], parts: Mapping[int, Part]) -> Iterator[tuple[int, pa.Table]]:
    """As they are finished: on the cluster that RAY_ADDRESS names, or one of this machine's cores alone."""
    # A worker killed for its memory would else be tried again for ever, and standard output is ours.
    os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "^")
    try:
        import ray
    except ImportError:
        raise InputError(
            "engine = 'ray' needs Ray; install it with `pip install 'tastemaker[ray]'`"
        ) from None
    owner = not ray.is_initialized()
    try:
        if owner:
            ray.init(log_to_driver=False, logging_level="error", include_dashboard=False)
        task = ray.remote(num_cpus=1, max_retries=RETRIES)(_call)
        function, waiting, running = ray.put(batch), deque(parts.items()), dict[Any, int]()
        width = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
        while waiting or running:
            while waiting and len(running) < width:
                number, part = waiting.popleft()
                running[task.remote(function, part)] = number
            (ready, *_), _ = ray.wait(list(running), num_returns=1)
            yield running.pop(ready), ray.get(ready)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, TastemakerError):
            raise error.cause from None
        raise
    except (ray.exceptions.RayError, ConnectionError) as error:
        what = " ".join(str(error).split())[:160] or type(error).__name__
        raise BusyError(
            f"engine = 'ray': the cluster gave up on a part ({what}); give workers more memory or start more"
            " of them, and run the command again: finished parts are kept"
        ) from None
    finally:
        if owner:
            ray.shutdown()


def _call(batch: Batch[Part], part: Part) -> pa.Table:
    return batch(part)
