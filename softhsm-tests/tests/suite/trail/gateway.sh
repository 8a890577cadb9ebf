#!/bin/sh
# Runs the program that GATEWAY names with a file system of a megabyte, which nobody
# else sees, at the directory that SMALL names. The process stays the same one.
if [ "$(id -u)" = 0 ]; then own=''; else own='--user --map-root-user'; fi
# shellcheck disable=SC2016,SC2086 # for the inner shell; two words or none
exec unshare $own --mount sh -c 'mount -t tmpfs -o size=1m tmpfs "$SMALL" && exec "$GATEWAY" "$@"' gateway "$@"
