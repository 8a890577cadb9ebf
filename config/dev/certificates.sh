#!/usr/bin/env bash
# Makes a certificate for a gateway on this machine, DIR/server.pem with its key
# DIR/server.key, and the authority that vouches for it, DIR/ca.pem. The authority has
# no key any more afterwards: it cannot be made to vouch for another.
#
#   certificates.sh DIR
set -euo pipefail
umask 077

main() {
    local new=$1.new
    rm -rf "$new"
    mkdir -p "$new"
    # Not as a condition: then a command that fails would be passed over.
    trap 'failed "$new"' ERR
    (cd "$new" && make_them) >"$new.log" 2>&1
    trap - ERR
    rm -rf "$1" "$new.log"
    mv "$new" "$1"
}

failed() {
    cat "$1.log" >&2
    printf 'certificates: openssl could not make a certificate in %s\n' "$1" >&2
    exit 1
}

make_them() {
    set -e
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem \
        -days 398 -subj '/CN=skms development' \
        -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign'
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr \
        -subj '/CN=skms'
    printf '%s\n' 'basicConstraints=critical,CA:FALSE' 'keyUsage=critical,digitalSignature' \
        'extendedKeyUsage=serverAuth' 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1' >server.ext
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 398 \
        -extfile server.ext -out server.pem
    rm -f ca.key ca.srl server.csr server.ext
}

[ $# = 1 ] || {
    echo 'usage: certificates.sh DIR' >&2
    exit 2
}
main "$1"
