#!/bin/sh
# Create the virtual environment; on a bare Debian the venv module is a package of its own.
# usage: create-venv.sh PYTHON FOLDER
set -eu
python=$1 folder=$2
if ! command -v "$python" >/dev/null 2>&1 || ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Baton needs Python 3.11 or newer: install python3 and run again (or: make PYTHON=/path/to/python3.11 ...)" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
    else
        echo "Python's venv module is missing: install it (Debian: sudo apt-get install python3-venv) and run again" >&2
        exit 1
    fi
fi
[ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
