#!/bin/sh
# Run nginx in front of Baton: TLS for both origins, one server each. Needs no root and writes only below TMPDIR.
# BATON_BASE_URL, BATON_APP_URL: https origins as others see them; they name the hosts and the ports to listen on.
# TLS_CERT, TLS_KEY: the certificate for both names, and its key. WEB_UPSTREAM, APP_UPSTREAM: host:port of the parts.
# HTTP_PORT: where plain http is sent on to https. RESOLVER: name server of the upstreams (Docker's own).
# usage: proxy.sh [run|test|healthy]
set -eu
if [ "${1:-run}" = healthy ]; then
    exec curl --fail --silent --output /dev/null --max-time 3 "http://127.0.0.1:${HTTP_PORT:-80}/healthz"
fi
here=$(cd "$(dirname "$0")" && pwd)
folder=${TMPDIR:-/tmp}/baton-proxy
port() { # port ORIGIN
    case "${1#https://}" in *:*) echo "${1##*:}" ;; *) echo 443 ;; esac
}
name() { # name ORIGIN
    origin=${1#https://}
    echo "${origin%%:*}"
}
for origin in "$BATON_BASE_URL" "$BATON_APP_URL"; do
    case "$origin" in
    https://*[!A-Za-z0-9.:-]* | https://) echo "not an https origin: $origin" >&2; exit 1 ;;
    https://*) ;;
    *) echo "not an https origin: $origin" >&2; exit 1 ;;
    esac
done
mkdir -p "$folder"
sed -e "s|@FOLDER@|$folder|g" -e "s|@HTTP_PORT@|${HTTP_PORT:-80}|g" \
    -e "s|@WEB_NAME@|$(name "$BATON_BASE_URL")|g" -e "s|@WEB_PORT@|$(port "$BATON_BASE_URL")|g" \
    -e "s|@APP_NAME@|$(name "$BATON_APP_URL")|g" -e "s|@APP_PORT@|$(port "$BATON_APP_URL")|g" \
    -e "s|@WEB_ORIGIN@|$BATON_BASE_URL|g" -e "s|@APP_ORIGIN@|$BATON_APP_URL|g" \
    -e "s|@WEB_UPSTREAM@|${WEB_UPSTREAM:-web:8000}|g" -e "s|@APP_UPSTREAM@|${APP_UPSTREAM:-app:8001}|g" \
    -e "s|@RESOLVER@|${RESOLVER:-127.0.0.11}|g" -e "s|@TLS_CERT@|$TLS_CERT|g" -e "s|@TLS_KEY@|$TLS_KEY|g" \
    "$here/nginx.conf" >"$folder/nginx.conf"
case "${1:-run}" in
test) exec nginx -t -q -e stderr -c "$folder/nginx.conf" ;;
*) exec nginx -e stderr -c "$folder/nginx.conf" ;;
esac
