#!/bin/sh
# Run a suite, compare it with a baseline, leave the summary. Exit code: 0, 1 on a regression, 2 on an error.
#
#   sh ci/regressions.sh [BASE [RUN OPTIONS...]]
#
# BASE is a saved baseline, REVISION:NAME, or a results folder; smoke if left out. The rest goes to
# `bench run`: --suite smoke if left out. The run is fresh, in a cache of its own, so that times are those of
# training and not of a lookup. RESULTS says where records and the summary go, PYTHON which Python to use.
set -eu

base=${1:-smoke}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- --suite smoke
results=${RESULTS:-results/regressions}
python=${PYTHON:-python3}

BENCH_CACHE=$(mktemp -d)
export BENCH_CACHE
trap 'rm -rf "$BENCH_CACHE"' EXIT
trap 'exit 130' INT TERM

# 1 says that a cell failed; the comparison names it.
"$python" -m bench run "$@" --fresh --results "$results" || [ $? -eq 1 ]

code=0
"$python" -m bench compare "$base" "$results" \
    --out "$results/change.md" --out "$results/change.html" --out "$results/change.json" || code=$?

# On GitHub the summary of a job is shown with it.
if [ -n "${GITHUB_STEP_SUMMARY:-}" ] && [ $code -le 1 ]; then
    cat "$results/change.md" >>"$GITHUB_STEP_SUMMARY"
fi
exit $code
