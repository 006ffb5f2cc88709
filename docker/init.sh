#!/bin/sh
# Make what compose.yaml needs once: secrets, a certificate to try out with, the file .env, a folder for backups.
# usage: init.sh [FOLDER]    (FOLDER: where compose.yaml is; default: beside this script)
# BASE_URL, APP_URL: the https origins (https://fhir.localhost, https://app.localhost). TIME_ZONE: the practice's.
# What is there already stays as it is, so it may be run again. Secrets have mode 0600 and belong to the user as whom
# the containers run: whoever runs this script, or 10001 when that is root.
set -eu
umask 077
folder=${1:-$(cd "$(dirname "$0")" && pwd)}
base_url=${BASE_URL:-https://fhir.localhost} app_url=${APP_URL:-https://app.localhost}
user=$(id -u) group=$(id -g)
[ "$user" != 0 ] || user=10001 group=10001
mkdir -p "$folder/secrets" "$folder/backups"

random() { # random BYTES: as hexadecimal digits
    od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'
}
keep() { # keep NAME: standard input becomes the secret NAME, unless there is one
    [ -e "$folder/secrets/$1" ] && return
    cat >"$folder/secrets/.$1"
    mv "$folder/secrets/.$1" "$folder/secrets/$1"
    echo "made secrets/$1"
}
random 48 | keep secret-key
random 24 | keep database-password
random 24 | keep redis-password
printf 'requirepass %s\n' "$(cat "$folder/secrets/redis-password")" | keep valkey.conf

name() { # name ORIGIN: its host
    origin=${1#https://}
    echo "${origin%%:*}"
}
port() { # port ORIGIN
    case "${1#https://}" in *:*) echo "${1##*:}" ;; *) echo 443 ;; esac
}
web=$(name "$base_url") app=$(name "$app_url")
if [ "$web" = "$app" ] || [ "$(port "$base_url")" != "$(port "$app_url")" ]; then
    echo "BASE_URL and APP_URL need two names on one port: the app must not share an origin with the server" >&2
    exit 1
fi
if [ ! -e "$folder/secrets/tls.crt" ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$web" \
        -addext "subjectAltName=DNS:$web,DNS:$app" -addext "extendedKeyUsage=serverAuth" \
        -keyout "$folder/secrets/tls.key" -out "$folder/secrets/tls.crt" 2>/dev/null
    chmod 600 "$folder/secrets/tls.key" "$folder/secrets/tls.crt"
    echo "made secrets/tls.crt: self-signed for $web and $app, 30 days, to try out only"
fi
if [ ! -e "$folder/.env" ]; then
    cat >"$folder/.env" <<END
# Settings of compose.yaml, made by init.sh. Secrets are in secrets/, not here.
BATON_UID=$user
BATON_GID=$group
BASE_URL=$base_url
APP_URL=$app_url
WEB_NAME=$web
APP_NAME=$app
HTTPS_PORT=$(port "$base_url")
TIME_ZONE=${TIME_ZONE:-America/New_York}
# Certificates that the parts trust beside their own list; empty once tls.crt is from a public authority.
TRUSTED_CERTIFICATES=/run/secrets/tls.crt
END
    echo "made .env"
fi
[ "$(id -u)" != 0 ] || chown -R "$user:$group" "$folder/secrets" "$folder/backups"
