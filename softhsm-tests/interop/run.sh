#!/usr/bin/env bash
# Runs the clients in other languages against a gateway of their own: a fresh
# token, a fresh catalog, a free port on loopback, all gone afterwards.
set -euo pipefail
cd "$(dirname "$0")/../.."
umask 077

readonly SOFTHSM=/usr/lib/softhsm/libsofthsm2.so
readonly PYTHON=var/venv/bin/python
# How long the gateway may take to come up, and to stop.
readonly START_SECONDS=30 STOP_SECONDS=30

SKMS=$(realpath "${CARGO_TARGET_DIR:-target}")/release/skms
FOLDER=$(mktemp -d)
readonly SKMS FOLDER
gateway=

main() {
    trap 'quit $?' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    make_token
    make_credentials
    start_gateway
    run_clients
    run_examples
    stop_gateway
}

make_token() {
    export SOFTHSM2_CONF=$FOLDER/softhsm2.conf
    mkdir "$FOLDER/tokens"
    printf '%s\n' "directories.tokendir = $FOLDER/tokens" 'objectstore.backend = file' 'log.level = ERROR' \
        >"$SOFTHSM2_CONF"
    printf 'interop-pin' >"$FOLDER/pin"
    softhsm2-util --init-token --free --label interop --pin interop-pin --so-pin interop-so-pin >/dev/null
    head -c 32 /dev/urandom >"$FOLDER/master.key"
}

# Who vouches for the gateway, and who says who calls.
make_credentials() {
    config/dev/certificates.sh "$FOLDER/tls"
    "$SKMS" token keygen --out "$FOLDER/issuer" >/dev/null
    "$SKMS" token issue --key "$FOLDER/issuer/issuer.key" --issuer https://issuer.test --audience skms \
        --subject python --role admin --out "$FOLDER/token"
    export SKMS_CA=$FOLDER/tls/ca.pem SKMS_TOKEN_FILE=$FOLDER/token
}

start_gateway() {
    address=127.0.0.1:$("$PYTHON" -c 'import socket
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])')
    cat >"$FOLDER/skms.toml" <<-END
		[listeners.api]
		address = "$address"
		certificate = "tls/server.pem"
		key = "file:tls/server.key"

		[auth.issuers.interop]
		issuer = "https://issuer.test"
		audiences = ["skms"]
		algorithms = ["ES256"]
		jwks = "file:issuer/jwks.json"

		[policy]
		directory = "$PWD/config/policies"

		[admin]
		listen = ""

		[catalog]
		path = "catalog.db"

		[audit]
		path = "audit.jsonl"

		[backends.pkcs11.hsm]
		module = "$SOFTHSM"
		token = "label:interop"
		pin = "file:pin"

		[backends.software.soft]
		master_key = "file:master.key"
	END
    setpriv --pdeathsig TERM "$SKMS" serve --config "$FOLDER/skms.toml" </dev/null >"$FOLDER/log" 2>&1 &
    gateway=$!
    local deadline=$((SECONDS + START_SECONDS))
    until "$SKMS" --endpoint "https://$address" health >/dev/null 2>&1; do
        if ! kill -0 "$gateway" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
            tail -n 20 "$FOLDER/log" >&2
            die "the gateway did not come up"
        fi
        sleep 0.1
    done
    printf 'a gateway of its own serves on %s\n' "$address"
}

stop_gateway() {
    local code=0
    end_gateway || code=$?
    [ $code = 0 ] || die "the gateway ended with exit code $code"
}

# By name: not every library holds an address against a certificate.
run_clients() {
    local target=localhost:${address##*:}
    "$PYTHON" softhsm-tests/interop/python/client.py "$target"
    NODE_PATH=var/node/node_modules node softhsm-tests/interop/node/client.js "$target"
    build_go_client
    "$FOLDER/go/client" "$target"
    build_java_client
    java -cp "$FOLDER/java/classes:$FOLDER/java/dependency/*" interop.Client "$target"
    build_cpp_client
    "$FOLDER/cpp/client" "$target"
}

# With the stubs of proto/, whose packages in Go are nowhere written down in it.
build_go_client() {
    local go=$PWD/var/tools/go module=skms.example/interop options file
    mkdir "$FOLDER/go"
    cp softhsm-tests/interop/go/* "$FOLDER/go"
    (cd "$FOLDER/go" && GOTOOLCHAIN=local "$go" build -o . \
        google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc)
    options=module=$module
    for file in proto/skms/v1/*.proto; do
        options+=,M${file#proto/}=$module/skmsv1
    done
    PATH=$FOLDER/go:$PATH "$PYTHON" -m grpc_tools.protoc -I proto \
        --go_out="$FOLDER/go" --go_opt="$options" --go-grpc_out="$FOLDER/go" --go-grpc_opt="$options" \
        proto/skms/v1/*.proto
    (cd "$FOLDER/go" && GOTOOLCHAIN=local "$go" build -o client .)
}

# Maven makes the stubs, with a generator of its own.
build_java_client() {
    mvn --quiet --batch-mode -Dstyle.color=never -Dout="$FOLDER/java" \
        --file softhsm-tests/interop/java/pom.xml process-classes
}

# With the stubs of proto/, and of the messages of error details, which Python's packages have.
build_cpp_client() {
    local out=$FOLDER/cpp common
    mkdir "$out"
    common=$("$PYTHON" -c 'import google.rpc; print(list(google.rpc.__path__)[0].removesuffix("/google/rpc"))')
    protoc -I proto -I "$common" --cpp_out="$out" --grpc_out="$out" \
        --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" \
        skms/v1/{types,import,key_management}.proto google/rpc/{status,error_details}.proto
    local flags
    read -ra flags <<<"$(pkg-config --cflags --libs grpc++ protobuf)"
    g++ -std=c++17 -Wall -Werror -I"$out" softhsm-tests/interop/cpp/client.cc "$out"/google/rpc/*.pb.cc \
        "$out"/skms/v1/{types,import,key_management}.pb.cc "$out/skms/v1/key_management.grpc.pb.cc" \
        "${flags[@]}" -o "$out/client"
}

# The examples of the Rust client.
run_examples() {
    export SKMS_ENDPOINT=https://$address SKMS_KEY=of-examples SKMS_EVENTS=3
    cargo build --release --quiet --package skms --example sign --example stream --example watch
    "$SKMS" keys create ec-p256 --id "$SKMS_KEY" --backend soft >/dev/null
    for example in sign stream watch; do
        "$(dirname "$SKMS")/examples/$example"
    done
}

# SIGTERM, and SIGKILL where that is not heard in time; by its pid and no other.
end_gateway() {
    local pid=$gateway deadline=$((SECONDS + STOP_SECONDS))
    gateway=
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null; do
        [ $SECONDS -lt $deadline ] || kill -KILL "$pid" 2>/dev/null || true
        sleep 0.05
    done
    wait "$pid"
}

# However this script ends, nothing of it is left.
quit() {
    trap - EXIT INT TERM HUP
    [ "$1" = 0 ] || tail -n 20 "$FOLDER/log" >&2 2>/dev/null || true
    [ -z "$gateway" ] || end_gateway 2>/dev/null || true
    rm -rf "$FOLDER"
    exit "$1"
}

die() {
    printf 'interop: %s\n' "$*" >&2
    exit 1
}

main "$@"
