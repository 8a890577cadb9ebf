#!/usr/bin/env bash
# Makes what the development gateway needs under var/dev: a SoftHSM2 token with
# a PIN of its own, a master key for the software backend, a certificate for TLS
# with the authority that vouches for it, and `var/dev/env`. The key of the issuer
# of tokens, and a token, are made by the gateway's own command (credentials.sh).
#
# What is there is kept, so that keys survive. Nothing here is fit for
# production: whoever can read this folder can use its keys.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p var
umask 077

readonly DEV="$PWD/var/dev"
readonly LABEL=skms-dev
TARGET=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
readonly TARGET

main() {
    mkdir -p "$DEV/tokens"
    # Written anew each time, because the checkout may have been moved.
    write softhsm2.conf <<-END
		directories.tokendir = $DEV/tokens
		objectstore.backend = file
		log.level = ERROR
	END
    export SOFTHSM2_CONF="$DEV/softhsm2.conf"
    if has_token; then
        [ -s "$DEV/pin" ] || die "the token \`$LABEL\` is there but var/dev/pin is not; \`make clean-dev\` starts anew"
    else
        say "making the SoftHSM2 token $LABEL"
        [ -s "$DEV/pin" ] || random_hex 12 | write pin
        [ -s "$DEV/so-pin" ] || random_hex 12 | write so-pin
        make_token
    fi
    if [ ! -s "$DEV/master.key" ]; then
        say "making the master key of the software backend"
        random_hex 32 | write master.key
    fi
    make_certificates
    write env <<-END
		# For a shell that is to talk to the development gateway:  . var/dev/env
		export SKMS_ENDPOINT=https://127.0.0.1:7443
		# Who vouches for the gateway, and the token that says who we are.
		export SKMS_CA=$(printf '%q' "$DEV/tls/ca.pem")
		export SKMS_TOKEN_FILE=$(printf '%q' "$DEV/token")
		# For tools that look into the token, such as pkcs11-tool.
		export SOFTHSM2_CONF=$(printf '%q' "$SOFTHSM2_CONF")
		# So that \`skms\` can be typed.
		export PATH=$(printf '%q' "$TARGET/release"):\$PATH
	END
}

has_token() {
    # Not -q: it would stop reading, and with pipefail a cut-off writer is a failure.
    softhsm2-util --show-slots | grep -E "^ +Label: +$LABEL *\$" >/dev/null
}

make_token() {
    # softhsm2-util takes PINs from a terminal or from its arguments only. For
    # the moment that it runs, other users of this machine can see them.
    softhsm2-util --init-token --free --label "$LABEL" \
        --pin "$(cat "$DEV/pin")" --so-pin "$(cat "$DEV/so-pin")" >/dev/null
    has_token || die "softhsm2-util made no token"
}

# A certificate for TLS; a new one in the week before the old one ends.
make_certificates() {
    if openssl x509 -in "$DEV/tls/server.pem" -noout -checkend $((7 * 24 * 3600)) >/dev/null 2>&1; then
        return
    fi
    say "making a certificate for the gateway, and an authority that vouches for it"
    config/dev/certificates.sh "$DEV/tls"
}

# Whole or not at all: an interrupted set-up leaves no half-written PIN.
write() {
    cat >"$DEV/.$1.new"
    mv "$DEV/.$1.new" "$DEV/$1"
}

random_hex() {
    head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}

say() {
    printf 'setup: %s\n' "$*"
}

die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

main "$@"
