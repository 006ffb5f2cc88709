#!/bin/sh
# Install Baton with its locked dependencies into a virtual environment of its own, for an image or a bare host.
# usage: install.sh SOURCE FOLDER [PYTHON]
# SOURCE: a checkout. FOLDER: the environment to make. What only builds (pip, setuptools) is taken out again.
set -eu
source=$(cd "$1" && pwd) folder=$2 python=${3:-python3}
here=$(cd "$(dirname "$0")" && pwd)
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR="${PIP_NO_CACHE_DIR:-1}" PIP_ROOT_USER_ACTION=ignore
"$here/create-venv.sh" "$python" "$folder"
"$here/create-venv.sh" "$python" "$build/venv"
"$folder/bin/python" -m pip install --quiet --require-hashes -r "$source/requirements.lock"

# The build backend comes from the developers' lock, with its hash: nothing unpinned runs here.
awk '/^[a-z]/ { wanted = /^setuptools==/ } wanted' "$source/requirements-dev.lock" >"$build/backend.lock"
"$build/venv/bin/python" -m pip install --quiet --require-hashes -r "$build/backend.lock"
for name in pyproject.toml README.md LICENSE NOTICE server smart_app terminology mappings; do
    cp -R "$source/$name" "$build/"
done
"$build/venv/bin/python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$build/wheel" "$build"
"$folder/bin/python" -m pip install --quiet --no-deps "$build"/wheel/*.whl
"$folder/bin/python" -m pip uninstall --quiet --yes pip setuptools 2>/dev/null
"$folder/bin/baton" --version
