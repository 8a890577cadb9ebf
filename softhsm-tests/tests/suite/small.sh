#!/bin/sh
# Runs the program that GATEWAY names with a file system of a megabyte, which nobody
# else sees, in place of the directory that SMALL names, and with what that holds. The
# process stays the same one.
if [ "$(id -u)" = 0 ]; then own=''; else own='--user --map-root-user'; fi
# shellcheck disable=SC2016,SC2086 # for the inner shell; two words or none
exec unshare $own --mount sh -c '
    held=$(mktemp -d) && cp -a "$SMALL/." "$held" &&
    mount -t tmpfs -o size=1m tmpfs "$SMALL" &&
    cp -a "$held/." "$SMALL" && rm -r "$held" &&
    exec "$GATEWAY" "$@"' gateway "$@"
