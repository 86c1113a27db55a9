#!/usr/bin/env bash
# The measurements for a machine with one GPU, one prepared run of at most nine minutes:
#
#     benchmarks/gpu.sh [OUT]          # OUT: folder of gpu.jsonl (default: runs/gpu)
#
# A smoke test with assertions comes first and ends the run when it fails; each arm then appends its JSON line
# as soon as it is done, the most telling first, so that a run cut short is worth what it reached. SIZE=tiny
# runs every arm small enough for a processor (the tests do).
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-runs/gpu}
mkdir -p "$out"
export PYTHONPATH="$PWD/src:$PWD${PYTHONPATH:+:$PYTHONPATH}" TOKENIZERS_PARALLELISM=false
timeout 540 "${PYTHON:-python}" -m benchmarks.gpu --size "${SIZE:-full}" --out "$out/gpu.jsonl"
