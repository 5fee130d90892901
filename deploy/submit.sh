#!/usr/bin/env bash
# Start a search on a running Ray cluster, or resume it: the same command after any failure.
# usage: RAY_ADDRESS=http://127.0.0.1:8265 deploy/submit.sh NAME STORAGE [arguments of rebnn_search.run ...]
set -euo pipefail
name=${1:?name of the search} storage=${2:?a path all nodes share, or an object store}
shift 2
exec ray job submit --no-wait --working-dir . -- \
  python -m rebnn_search.run search_spaces/gamma.yaml --name "$name" --storage "$storage" --address auto --resume-or-start "$@"
