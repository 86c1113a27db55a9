"""What a release is installed from: every pin of requirements/ with the hashes of its files.

    python -m recipes.safety.locked compile           # writes requirements/lock.txt; needs `uv` (make lock)
    python -m recipes.safety.locked torch REPORT      # what pip's --report says of the torch that it
    installed python -m recipes.safety.locked audit REPORT      # what pip-audit's JSON says of the pins

The last two end with exit code 1 where something cannot be said to be as it should: an audit that reached no
data has found nothing, which is no audit.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

FOLDER = Path(__file__).parents[2] / "requirements"
SOURCES = ("constraints.txt", "data.txt", "smollm2.txt")
LOCK = FOLDER / "lock.txt"
PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.M)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")


def pins(text: str) -> dict[str, str]:
    """Versions by normalised name."""
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in PIN.findall(text)}


def wanted() -> dict[str, str]:
    """Every pin of `SOURCES`."""
    return pins("\n".join((FOLDER / name).read_text() for name in SOURCES))


def locked(text: str) -> dict[str, tuple[str, set[str]]]:
    """Version and SHA-256 hashes by name, of a lock."""
    parts = re.split(r"\n(?=[A-Za-z0-9])", text)
    return {
        name: (version, set(HASH.findall(part))) for part in parts for name, version in pins(part).items()
    }


def faults(lock: str) -> list[str]:
    """Pins that the lock has no hash for or another version of, and what it has beyond them."""
    rows, pinned = locked(lock), wanted()
    wrong = [
        f"{name}=={version} has no hash"
        for name, version in pinned.items()
        if not rows.get(name, ("", set()))[1]
    ]
    wrong += [
        f"{name}=={rows[name][0]} is pinned at {version}"
        for name, version in pinned.items()
        if name in rows and rows[name][0] != version
    ]
    return wrong + [f"{name} is not pinned" for name in rows.keys() - pinned.keys()]


def compile_lock() -> int:
    """Ask the index for the hashes of every file of every pin."""
    command = ["uv", "pip", "compile", "--no-deps", "--universal", "--generate-hashes", "--no-annotate"]
    command += ["--no-header", "--quiet", *SOURCES, "--output-file", LOCK.name]
    subprocess.run(command, cwd=FOLDER, check=True)
    print("\n".join(faults(LOCK.read_text())) or f"{LOCK.name}: {len(wanted())} pins")
    return bool(faults(LOCK.read_text()))


def torch(report: Path) -> int:
    """Whether the installed torch is a file of the lock. One of another index (the processor-only build) has
    a hash that PyPI does not publish: it is named here, and the release says so.
    """
    about = next(
        entry for entry in json.loads(report.read_text())["install"] if entry["metadata"]["name"] == "torch"
    )
    file, digest = (
        unquote(about["download_info"]["url"].rpartition("/")[2]),
        about["download_info"]["archive_info"]["hashes"]["sha256"],
    )
    if digest in locked(LOCK.read_text())["torch"][1]:
        print(f"torch: {file} is the file that the lock names")
    else:
        print(f"torch: NOT OF THE LOCK, whose hashes are PyPI's: {file} sha256={digest}")
    return 0


def audit(report: Path) -> int:
    """Vulnerabilities found, and pins that were not looked at."""
    rows = json.loads(report.read_text())["dependencies"] if report.exists() and report.stat().st_size else []
    looked = {re.sub(r"[-_.]+", "-", row["name"]).lower() for row in rows if "skip_reason" not in row}
    flaws = [f"{row['name']} {row['version']}: {vuln['id']}" for row in rows for vuln in row.get("vulns", ())]
    missing = sorted(wanted().keys() - looked)
    if flaws:
        print(f"audit: {len(flaws)} known vulnerabilities: {', '.join(flaws)}")
    if missing:
        print(
            f"audit: NOT DONE for {len(missing)} of {len(wanted())} pins ({missing[0]}, ...): the data of"
            " known vulnerabilities cannot be reached; run `make audit` where they can before you publish"
        )
    if not flaws and not missing:
        print(f"audit: no known vulnerability in {len(looked)} pins")
    return bool(flaws or missing)


if __name__ == "__main__":
    action, *rest = sys.argv[1:] or [""]
    actions = {"compile": compile_lock, "torch": torch, "audit": audit}
    if action not in actions or len(rest) != (action != "compile"):
        print("locked: write compile, torch REPORT or audit REPORT", file=sys.stderr)
        sys.exit(2)
    if action == "torch" and not Path(rest[0]).is_file():
        print(f"locked: {rest[0]}: there is no such file", file=sys.stderr)
        sys.exit(2)
    sys.exit(actions[action](*map(Path, rest)))  # type: ignore[operator]
