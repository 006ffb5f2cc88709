#!/bin/sh
# What the tests and benchmarks need beside Python: Chromium and wrk.
# As root on Debian it installs what is missing; otherwise it says what to install. With CI=true a gap is a failure.
set -u
need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
missing=""
need chromium chromium
need wrk wrk
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing:$missing"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing fonts-liberation >/dev/null
    missing=""
    need chromium chromium
    need wrk wrk
fi
if [ -n "$missing" ]; then
    echo "missing:$missing (Debian: sudo apt-get install$missing)" >&2
    [ "${CI:-}" = true ] && exit 1
    echo "the tests that need them are skipped" >&2
fi
exit 0
