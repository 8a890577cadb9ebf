#!/usr/bin/env bash
# Makes the issuer of the development gateway, if there is none, and a fresh token
# of it in var/dev/token. Each command is printed as one would type it.
#
# A real issuer is the identity provider of the organisation; README.md,
# "Your own issuer, certificates and policies", says how to use one.
set -euo pipefail
cd "$(dirname "$0")/../.."
umask 077
# shellcheck source=/dev/null
. var/dev/env

main() {
    [ -s var/dev/issuer/issuer.key ] || step skms token keygen --out var/dev/issuer
    step skms token issue --key var/dev/issuer/issuer.key --issuer https://issuer.skms.invalid \
        --audience skms --subject developer --role admin --lifetime 12h --out var/dev/token
}

step() {
    printf '\n$ %s\n' "$*"
    "$@"
}

main "$@"
