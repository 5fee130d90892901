#!/usr/bin/env bash
# Start a search on a running Ray cluster, or resume it: the same command after any failure.
# usage: RAY_ADDRESS=http://127.0.0.1:8265 [MLFLOW_TRACKING_URI=...] deploy/submit.sh FILE NAME STORAGE [arguments of rebnn_search.run ...]
# The working directory goes along: FILE, and modules for --allow, are found in it.
set -euo pipefail
file=${1:?search file} name=${2:?name of the search} storage=${3:?a path all nodes share, or an object store}
shift 3
exec ray job submit --no-wait --working-dir . -- \
  python -m rebnn_search.run "$file" --name "$name" --storage "$storage" --address auto --resume-or-start \
  ${MLFLOW_TRACKING_URI:+--tracking-uri "$MLFLOW_TRACKING_URI"} "$@"
