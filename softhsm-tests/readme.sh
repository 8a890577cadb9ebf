#!/usr/bin/env bash
# Types what README.md tells its readers to type: the `sh` blocks between the two
# marks, one after the other in one shell, in a folder that is gone afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."

SKMS=$(realpath "${CARGO_TARGET_DIR:-target}")/release
FOLDER=$(mktemp -d)
readonly SKMS FOLDER

main() {
    trap 'rm -rf "$FOLDER"' EXIT
    mkdir "$FOLDER/var"
    ln -s "$PWD/config" "$FOLDER/config"
    {
        echo 'set -euo pipefail'
        # A gateway must not outlive this, however it ends.
        echo 'trap "jobs -p | xargs -r kill 2>/dev/null" EXIT'
        blocks README.md
    } >"$FOLDER/typed"
    [ "$(wc -l <"$FOLDER/typed")" -gt 20 ] || die "the marks are gone from README.md"
    local code=0
    (cd "$FOLDER" && PATH=$SKMS:$PATH bash -x typed) >"$FOLDER/said" 2>&1 </dev/null || code=$?
    if [ "$code" != 0 ]; then
        tail -n 60 "$FOLDER/said" "$FOLDER"/var/*/*.log >&2 2>/dev/null || true
        die "what README.md says to type does not work (exit code $code)"
    fi
    printf 'README.md: all %s lines could be typed\n' "$(blocks README.md | wc -l)"
}

# The `sh` blocks between the marks. That a command fails where `!` says so is
# demanded, which a shell by itself does not.
blocks() {
    awk '/^<!-- begin: typed/ { marked = 1 } /^<!-- end: typed/ { marked = 0 }
        /^```/ { block = marked && $0 == "```sh"; next }
        block && sub(/^! /, "") { print "if " $0 "; then echo not refused >&2; exit 1; fi"; next }
        block' "$1"
}

die() {
    printf 'readme: %s\n' "$*" >&2
    exit 1
}

main "$@"
