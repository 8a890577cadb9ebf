#!/usr/bin/env bash
# Shows the gateway at work: starts it, makes a key in the token, signs a file,
# checks the signature through the gateway and with openssl.
#
#   demo.sh          stops the gateway afterwards; exits 0 only if every step did what it says
#   demo.sh --serve  keeps it serving until Ctrl-C
#
# Each command is printed as one would type it (after `. var/dev/env`), followed
# by its answer. The set-up and the build are done before, by make.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly ADDRESS=127.0.0.1 PORT=7443
readonly KEY=demo
readonly LOG=var/dev/gateway.log
# How long the gateway may take to come up, and to stop.
readonly START_SECONDS=30 STOP_SECONDS=30
# What skms answers with (README, "Exit codes").
readonly INVALID_SIGNATURE=3 NOT_FOUND=4 REFUSED=5

gateway=
serve=

main() {
    [ "${1-}" != --serve ] || serve=yes
    # shellcheck source=/dev/null
    . var/dev/env
    mkdir -p var/demo
    say "Who we are: a token of an issuer that this gateway trusts"
    config/dev/credentials.sh
    start_gateway
    use_it
    if [ -n "$serve" ]; then
        keep_serving
    else
        stop_gateway
        say "Every step did what it says. var/demo holds message, signature and public.pem."
    fi
}

start_gateway() {
    if (exec 3<>"/dev/tcp/$ADDRESS/$PORT") 2>/dev/null; then
        die "something already listens on $ADDRESS:$PORT, perhaps another \`make run\`; stop it first"
    fi
    say "Starting the gateway (its log: $LOG)"
    printf '\n$ . var/dev/env\n$ skms serve --config config/dev.toml &\n'
    trap 'quit $?' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    # At a terminal the gateway gets a process group of its own, so that Ctrl-C
    # can later be meant for it alone (see keep_serving).
    if at_terminal; then set -m; fi
    # Should this script be killed, the gateway stops too.
    setpriv --pdeathsig TERM skms serve --config config/dev.toml </dev/null >"$LOG" 2>&1 &
    gateway=$!
    set +m
    local deadline=$((SECONDS + START_SECONDS))
    until skms health >/dev/null 2>&1; do
        kill -0 "$gateway" 2>/dev/null || die "the gateway did not start" "$(tail -n 20 "$LOG")"
        [ $SECONDS -lt $deadline ] || die "the gateway does not serve after $START_SECONDS s" "$(tail -n 20 "$LOG")"
        sleep 0.1
    done
    step skms health
}

use_it() {
    say "A key in the token: its private half never leaves it"
    local code=0
    skms keys get "$KEY" >/dev/null 2>&1 || code=$?
    case $code in
        0) printf '(the key "%s" is still there from an earlier run, and is used again)\n' "$KEY" ;;
        "$NOT_FOUND") step skms keys create ec-p256 --id "$KEY" --backend hsm ;;
        *) step skms keys get "$KEY" ;; # fails again, and says why
    esac

    say "A signature"
    printf 'Signed with skms on %s\n' "$(date --utc '+%Y-%m-%d %H:%M:%S UTC')" >var/demo/message
    rm -f var/demo/signature var/demo/public.pem
    step cat var/demo/message
    step skms sign "$KEY" --in var/demo/message --out var/demo/signature
    step skms verify "$KEY" --in var/demo/message --signature var/demo/signature

    say "The same with openssl, which knows nothing of the gateway"
    printf '\n$ skms keys get %s --public-key > var/demo/public.pem\n' "$KEY"
    skms keys get "$KEY" --public-key >var/demo/public.pem
    step openssl dgst -sha256 -verify var/demo/public.pem -signature var/demo/signature var/demo/message

    say "A changed message is refused by both"
    printf '\n$ sed s/Signed/Forged/ var/demo/message > var/demo/forged\n'
    sed s/Signed/Forged/ var/demo/message >var/demo/forged
    refused "$INVALID_SIGNATURE" skms verify "$KEY" --in var/demo/forged --signature var/demo/signature
    refused 1 openssl dgst -sha256 -verify var/demo/public.pem -signature var/demo/signature var/demo/forged
    rm -f var/demo/forged

    say "Who is not known gets nothing"
    refused "$REFUSED" env SKMS_TOKEN_FILE= skms sign "$KEY" --in var/demo/message --out var/demo/refused

    say "What the gateway knows"
    step skms keys list
    step skms backends
}

keep_serving() {
    say "The gateway serves on $ADDRESS:$PORT until Ctrl-C. In another terminal:"
    printf '\n$ . var/dev/env\n$ skms keys list\n\n'
    local code=0
    if at_terminal; then
        # With the terminal in its hands the gateway alone gets the Ctrl-C, and
        # make ends as the gateway does: cleanly.
        trap - INT TERM HUP
        set -m
        fg %1 >/dev/null || code=$?
        set +m
    else
        # A trapped signal only ends the wait; stopping is then up to us.
        trap : INT TERM HUP
        wait "$gateway" || code=$?
        if kill -0 "$gateway" 2>/dev/null; then
            code=0
            end_gateway || code=$?
        fi
    fi
    gateway=
    [ $code = 0 ] || die "the gateway ended with exit code $code" "$(tail -n 20 "$LOG")"
    say "The gateway has stopped. The keys stay: run it again and they are there."
}

stop_gateway() {
    say "Stopping the gateway"
    printf '\n$ kill -TERM %s\n' "$gateway"
    local code=0
    end_gateway || code=$?
    [ $code = 0 ] || die "the gateway ended with exit code $code" "$(tail -n 20 "$LOG")"
    printf 'it finished what it had accepted and ended with exit code 0\n'
}

# SIGTERM, and SIGKILL where that is not heard in time; by its pid and no other.
end_gateway() {
    local pid=$gateway deadline=$((SECONDS + STOP_SECONDS))
    gateway=
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null; do
        if [ $SECONDS -ge $deadline ]; then
            printf 'the gateway did not stop within %s s and is killed\n' "$STOP_SECONDS" >&2
            kill -KILL "$pid" 2>/dev/null || true
            break
        fi
        sleep 0.05
    done
    wait "$pid"
}

# However this script ends, it leaves no gateway behind.
quit() {
    local code=$1
    trap - EXIT INT TERM HUP
    if [ -n "$gateway" ]; then
        end_gateway 2>/dev/null || { [ "$code" != 0 ] || code=1; }
    fi
    exit "$code"
}

# Whether this script is in the foreground of a terminal.
at_terminal() {
    local group foreground
    read -r _ _ _ _ group _ _ foreground _ </proc/$$/stat
    [ "$group" = "$foreground" ]
}

# Prints a command and runs it.
step() {
    printf '\n$ %s\n' "$*"
    "$@" || die "\`$*\` failed with exit code $?"
}

# Prints a command, runs it and expects it to say no.
refused() {
    local expected=$1 code=0
    shift
    printf '\n$ %s\n' "$*"
    "$@" 2>&1 || code=$?
    [ "$code" = "$expected" ] || die "\`$*\` should have ended with exit code $expected, not $code"
    printf '(refused, exit code %s)\n' "$code"
}

say() {
    printf '\n== %s\n' "$*"
}

die() {
    printf '\ndemo: %s\n' "$@" >&2
    exit 1
}

main "$@"
