#!/bin/sh
# Runs the program that GATEWAY names so that a write beyond a limit fails, as on a
# full disk, and does not end the process by SIGXFSZ.
trap '' XFSZ
exec "$GATEWAY" "$@"
