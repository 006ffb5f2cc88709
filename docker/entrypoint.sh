#!/bin/sh
# Run `baton ARGUMENTS` with the passwords of its neighbours read from files.
# DATABASE_PASSWORD_FILE: the password of BATON_DATABASE_URL, which names none (libpq takes it from PGPASSWORD).
# REDIS_PASSWORD_FILE: the password of BATON_REDIS_URL, which names none; letters and digits.
# TRUSTED_CERTIFICATES: a file of certificates that outbound calls trust beside the public ones.
# Baton reads BATON_SECRET_KEY_FILE itself.
set -eu
umask 077
secret() { # secret VARIABLE: the first line of the file that it names
    eval "file=\$$1"
    if [ ! -r "$file" ]; then
        echo "$1: $file cannot be read by user $(id -u); docker/init.sh makes it for the user of the containers" >&2
        exit 1
    fi
    IFS= read -r value <"$file" || [ -n "$value" ] || { echo "$1: $file is empty" >&2; exit 1; }
}
if [ -n "${DATABASE_PASSWORD_FILE:-}" ]; then
    secret DATABASE_PASSWORD_FILE
    export PGPASSWORD="$value"
fi
if [ -n "${REDIS_PASSWORD_FILE:-}" ]; then
    secret REDIS_PASSWORD_FILE
    export BATON_REDIS_URL="redis://:$value@${BATON_REDIS_URL#redis://}"
fi
if [ -n "${TRUSTED_CERTIFICATES:-}" ]; then
    bundle=${TMPDIR:-/tmp}/baton-certificates.$$
    cat "$(python -m certifi)" "$TRUSTED_CERTIFICATES" >"$bundle"
    export REQUESTS_CA_BUNDLE="$bundle"
fi
unset value DATABASE_PASSWORD_FILE REDIS_PASSWORD_FILE
exec baton "$@"
