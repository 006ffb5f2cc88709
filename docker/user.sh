#!/bin/sh
# Make the folder that the containers' user BATON_UID:BATON_GID writes to, and nothing else that it may write.
# ROOT: where the file system begins (tests).
set -eu
root=${ROOT:-}
echo "baton:x:$BATON_GID:" >>"$root/etc/group"
echo "baton:x:$BATON_UID:$BATON_GID::/var/lib/baton:/usr/sbin/nologin" >>"$root/etc/passwd"
mkdir -p "$root/var/lib/baton"
chown "$BATON_UID:$BATON_GID" "$root/var/lib/baton"
chmod 700 "$root/var/lib/baton"
