#!/bin/sh
# What the tests and benchmarks need beside Python: Chromium, wrk, PostgreSQL and nginx (programs, no running servers).
# As root on Debian it installs what is missing; otherwise it says what to install. With CI=true a gap is a failure.
set -u
need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need_postgresql() {
    command -v postgres >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
}
need_all() {
    missing=""
    need chromium chromium
    need wrk wrk
    need_postgresql
    PATH="$PATH:/usr/sbin" need nginx nginx-light
}
need_all
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing:$missing"
    # Debian's package makes and starts a cluster unless told not to; the tests start their own.
    case "$missing" in *postgresql*)
        mkdir -p /etc/postgresql-common
        [ -e /etc/postgresql-common/createcluster.conf ] ||
            echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf ;;
    esac
    # RUNLEVEL: so that no package starts its service.
    apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing fonts-liberation >/dev/null
    need_all
fi
if [ -n "$missing" ]; then
    echo "missing:$missing (Debian: sudo apt-get install$missing)" >&2
    [ "${CI:-}" = true ] && exit 1
    echo "the tests that need them are skipped" >&2
fi
exit 0
