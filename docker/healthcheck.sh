#!/bin/sh
# Whether one part of Baton does its work, for Docker's health checks. Exit status: 0 healthy, 1 not.
# usage: healthcheck.sh PART
# web, app: the process answers and reaches its database. Others: the process lives and `baton doctor` finds no error.
set -eu
answers() { # answers PORT PATH: whether it says 200 within four seconds
    python - "$1" "$2" <<'PYTHON'
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=4)
try:
    connection.request("GET", sys.argv[2])
    status = connection.getresponse().status
except (OSError, http.client.HTTPException) as error:
    sys.exit(f"no answer: {type(error).__name__}")
sys.exit(0 if status == 200 else f"status {status}")
PYTHON
}
lives() { # lives PART: whether a process of ours runs `baton serve PART`
    for line in /proc/[0-9]*/cmdline; do
        case "$(tr '\0' ' ' <"$line" 2>/dev/null)" in *"baton serve $1 "*) return 0 ;; esac
    done
    echo "no process serves $1"
    return 1
}
case "$1" in
web) answers "${BATON_PORT_WEB:-8000}" /readyz ;;
app) answers "${BATON_PORT_APP:-8001}" /healthz ;;
*)
    lives "$1"
    docker=$(dirname "$0")
    "$docker/entrypoint.sh" doctor --json | python -c '
import json, sys
errors = [row for row in json.load(sys.stdin)["findings"] if row["level"] == "error"]
sys.exit("; ".join(row["check"] + ": " + row["finding"] for row in errors) or 0)' ;;
esac
