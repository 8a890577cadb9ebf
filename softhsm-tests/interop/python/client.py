#!/usr/bin/env python3
"""The smallest real client: it knows proto/ and nothing else of the gateway.

    SKMS_CA=FILE SKMS_TOKEN_FILE=FILE client.py [HOST:PORT]        (default 127.0.0.1:7443)

On every backend that the gateway names, it creates a key, shows it, signs,
verifies, rotates and lists, and it reads the details of errors. It prints what
it did and ends with exit code 0 only if all of it was answered as
proto/ promises. The stubs are generated on the way, into a temporary folder.
"""

import hashlib
import os
import pathlib
import sys
import tempfile
import types
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[3] / "proto"
SECONDS = 20  # for each call; making a key in a busy token takes a few hundredths


def main():
    if len(sys.argv) > 2 or sys.argv[1:2] in (["-h"], ["--help"]):
        sys.exit(__doc__)
    target = sys.argv[1] if len(sys.argv) == 2 else "127.0.0.1:7443"
    with tempfile.TemporaryDirectory() as folder, connect(target) as channel:
        api = generate(folder)
        stranger(target, api)
        health(channel, api)
        keys = api.key_management_pb2_grpc.KeyManagementStub(channel)
        system = api.system_pb2_grpc.SystemServiceStub(channel)
        backends = system.ListBackends(api.system_pb2.ListBackendsRequest(), timeout=SECONDS).backends
        said("backends", ", ".join(f"{b.name} ({b.identity.kind})" for b in backends))
        expect(len(backends) > 0, "the gateway names at least one backend")
        for backend in backends:
            use(keys, api, backend.name)
            sealed(keys, channel, api, backend.name)
        errors(keys, api)
    print(f"python: everything was answered as proto/ promises, on {len(backends)} backend(s)")


def connect(target, token=None):
    """A channel with the token of SKMS_TOKEN_FILE, or with another, to the gateway that SKMS_CA vouches for."""
    authority = pathlib.Path(os.environ["SKMS_CA"]).read_bytes()
    token = token or pathlib.Path(os.environ["SKMS_TOKEN_FILE"]).read_text().strip()
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(authority), grpc.access_token_call_credentials(token)
    )
    return grpc.secure_channel(target, credentials)


def stranger(target, api):
    """Who is not known gets nothing."""
    with connect(target, "no-token-of-any-issuer") as channel:
        keys = api.key_management_pb2_grpc.KeyManagementStub(channel)
        request = api.key_management_pb2.ListKeysRequest()
        refused(
            "list keys with a token of nobody",
            grpc.StatusCode.UNAUTHENTICATED,
            "TOKEN_MALFORMED",
            lambda: keys.ListKeys(request, timeout=SECONDS),
        )


def generate(folder):
    """The stubs for all that stands in proto/, as modules of one object."""
    files = sorted(str(file.relative_to(PROTO)) for file in PROTO.glob("skms/**/*.proto"))
    arguments = ["protoc", f"-I{PROTO}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    # The well-known types of protobuf itself.
    arguments.append(f"-I{pathlib.Path(protoc.__file__).parent / '_proto'}")
    expect(protoc.main(arguments + files) == 0, "proto/ compiles")
    said("stubs", ", ".join(files))
    sys.path.insert(0, folder)
    from skms.v1 import crypto_pb2, crypto_pb2_grpc, key_management_pb2, key_management_pb2_grpc
    from skms.v1 import system_pb2, system_pb2_grpc, types_pb2

    return types.SimpleNamespace(
        crypto_pb2=crypto_pb2,
        crypto_pb2_grpc=crypto_pb2_grpc,
        key_management_pb2=key_management_pb2,
        key_management_pb2_grpc=key_management_pb2_grpc,
        system_pb2=system_pb2,
        system_pb2_grpc=system_pb2_grpc,
        types_pb2=types_pb2,
    )


def health(channel, api):
    """The gateway, and each of its services, by the health protocol of gRPC."""
    stub = health_pb2_grpc.HealthStub(channel)
    files = (api.key_management_pb2.DESCRIPTOR, api.system_pb2.DESCRIPTOR)
    services = [service.full_name for file in files for service in file.services_by_name.values()]
    for service in ["", *services]:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS, wait_for_ready=True)
        status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        said("health", f"{service or 'the gateway'}: {status}")
        expect(status == "SERVING", "it serves")


def streams(keys, api, key_id):
    """What comes or goes in streams."""
    messages = api.key_management_pb2
    texts = [f"text {number}".encode() for number in range(100)]

    def signatures():
        start = messages.SignStreamStart(default_key_id=key_id, ordered=True, max_in_flight=8)
        yield messages.SignStreamRequest(start=start)
        for number, text in enumerate(texts, 1):
            yield messages.SignStreamRequest(sequence=number, sign=messages.SignRequest(message=text))

    first, *answers = keys.SignStream(signatures(), timeout=SECONDS)
    expect(first.ack.max_in_flight == 8, "as many items at once as were asked for")
    expect([answer.sequence for answer in answers] == list(range(1, 101)), "answers in their order")
    said("sign stream", f"{len(answers)} signatures")

    def verifications():
        yield messages.VerifyStreamRequest(start=messages.VerifyStreamStart(default_key_id=key_id))
        for answer, text in zip(answers, texts):
            request = messages.VerifyRequest(message=text, signature=answer.response.signature)
            yield messages.VerifyStreamRequest(sequence=answer.sequence, verify=request)

    _, *verdicts = keys.VerifyStream(verifications(), timeout=SECONDS)
    expect(len(verdicts) == 100 and all(verdict.response.valid for verdict in verdicts), "all are valid")
    said("verify stream", f"{len(verdicts)} valid")

    chunk = bytes(range(256)) * 1024

    def parts(request, start):
        yield request(start=start)
        for _ in range(8):
            yield request(chunk=chunk)
        yield request(end=messages.LargeMessageEnd(total_size=8 * len(chunk)))

    start = messages.SignLargeMessageStart(parameters=messages.SignRequest(key_id=key_id))
    signed = keys.SignLargeMessage(parts(messages.SignLargeMessageRequest, start), timeout=SECONDS)
    expect(signed.digest.value == hashlib.sha256(chunk * 8).digest(), "the digest is that of the message")
    question = messages.VerifyRequest(key_id=key_id, signature=signed.signature.signature)
    start = messages.VerifyLargeMessageStart(parameters=question)
    verified = keys.VerifyLargeMessage(parts(messages.VerifyLargeMessageRequest, start), timeout=SECONDS)
    expect(verified.verification.valid, "the signature of the large message is valid")
    said("large message", f"{8 * len(chunk)} bytes, signed and verified")

    watch = keys.WatchKeys(messages.WatchKeysRequest(filter=f'labels.of = "{key_id}"'), timeout=SECONDS)
    expect(next(watch).type == messages.WatchKeysResponse.TYPE_BOOKMARK, "nothing happened yet")
    made = messages.CreateKeyRequest(key_type="ec-p256", key_id=f"{key_id}-more", metadata={"of": key_id})
    asked = [messages.BatchCreateKeysRequest(key=made, reference=name) for name in ("first", "again")]
    result = keys.BatchCreateKeys(iter(asked), timeout=SECONDS)
    expect((result.created, result.failed) == (1, 1), "the same id is not made twice")
    listed = keys.StreamKeys(messages.StreamKeysRequest(filter=f'labels.of = "{key_id}"'), timeout=SECONDS)
    expect([answer.key.id for answer in listed] == [made.key_id], "the stream lists the new key")
    said("many keys", f"{made.key_id} made once, and listed")
    event = next(watch)
    expect((event.type, event.key.id) == (messages.WatchKeysResponse.TYPE_CREATED, made.key_id), "it is told")
    watch.cancel()
    again = messages.WatchKeysRequest(filter=f'labels.of = "{key_id}"', resume_token=event.resume_token)
    expect(not next(keys.WatchKeys(again, timeout=SECONDS)).HasField("key"), "and told once")
    said("watch", "told once, and gone on behind it")


def sealed(keys, channel, api, backend):
    """A plaintext of many segments, there and back."""
    messages, nouns = api.key_management_pb2, api.types_pb2
    crypto, cipher = api.crypto_pb2, api.crypto_pb2_grpc.CryptoServiceStub(channel)
    key_id = f"python-{uuid.uuid4().hex[:12]}"
    params = nouns.KeyParams(backend=backend)
    keys.CreateKey(messages.CreateKeyRequest(key_type="aes-256", key_id=key_id, params=params), timeout=SECONDS)
    plaintext = bytes(range(256)) * 2000

    def parts(request, start, content):
        yield request(start=start)
        for at in range(0, len(content), 100_000):
            yield request(chunk=content[at : at + 100_000])
        yield request(end=messages.LargeMessageEnd(total_size=len(content)))

    start = crypto.EncryptStreamStart(parameters=crypto.EncryptRequest(key_id=key_id))
    *chunks, end = cipher.EncryptStream(parts(crypto.EncryptStreamRequest, start, plaintext), timeout=SECONDS)
    ciphertext = b"".join(part.chunk for part in chunks)
    expect(end.end.total_size == len(ciphertext), "all of the ciphertext came")
    start = crypto.DecryptStreamStart(parameters=crypto.DecryptRequest(key_id=key_id))
    *chunks, end = cipher.DecryptStream(parts(crypto.DecryptStreamRequest, start, ciphertext), timeout=SECONDS)
    expect(b"".join(part.chunk for part in chunks) == plaintext, "the plaintext comes back")
    expect(end.HasField("end"), "and its end")
    said("encrypt stream", f"{len(plaintext)} bytes, there and back")


def use(keys, api, backend):
    """The life of one key on one backend."""
    messages, nouns = api.key_management_pb2, api.types_pb2
    key_id = f"python-{uuid.uuid4().hex[:12]}"

    request = messages.CreateKeyRequest(
        key_type="ec-p256",
        key_id=key_id,
        metadata={"made-by": "python"},
        params=nouns.KeyParams(backend=backend),
        request_id=str(uuid.uuid4()),
    )
    key = keys.CreateKey(request, timeout=SECONDS)
    said("create", f"{key.id}, {key.metadata.key_type} on {key.metadata.params.backend}")
    expect(key.id == key_id and key.metadata.params.backend == backend, "the key is the one asked for")
    expect(key.metadata.labels["made-by"] == "python", "it has its label")
    expect(key.public_key.startswith("-----BEGIN PUBLIC KEY-----"), "its public key is PEM")

    again = keys.CreateKey(request, timeout=SECONDS)
    said("create", "the same request again: the same answer")
    expect(again == key, "a repeated request gets the first answer")

    shown = keys.GetKey(messages.GetKeyRequest(key_id=key_id, view=nouns.KEY_VIEW_FULL), timeout=SECONDS)
    said("get", f"{shown.id}, version {shown.metadata.primary_version}, etag {shown.metadata.etag}")
    expect(shown.public_key == key.public_key, "the same public key")
    expect([version.version for version in shown.metadata.versions] == [1], "one version")

    message = b"from python"
    signed = keys.SignMessage(messages.SignRequest(key_id=key_id, message=message, reference="r"), timeout=SECONDS)
    algorithm = nouns.SignatureAlgorithm.Name(signed.algorithm)
    said("sign", f"{len(signed.signature)} bytes, {algorithm}, version {signed.version}")
    expect(signed.algorithm == nouns.SIGNATURE_ALGORITHM_ECDSA_P256_SHA256, "the algorithm of the key")
    expect(signed.reference == "r", "the reference comes back")

    def verify(message, signature, **more):
        request = messages.VerifyRequest(key_id=key_id, message=message, signature=signature, **more)
        answer = keys.VerifySignature(request, timeout=SECONDS)
        expect(answer.verified_valid_integrity == answer.valid, "the answer came undamaged")
        return answer

    expect(verify(message, signed.signature).valid, "the signature is valid")
    said("verify", "valid")
    expect(not verify(b"changed", signed.signature).valid, "not for another message")
    said("verify", "a changed message: not valid")

    fixed = messages.SignRequest(key_id=key_id, message=message, encoding=nouns.SIGNATURE_ENCODING_P1363)
    fixed = keys.SignMessage(fixed, timeout=SECONDS)
    expect(len(fixed.signature) == 64, "P1363 has a fixed width")
    expect(verify(message, fixed.signature, encoding=fixed.encoding).valid, "and is valid as such")
    said("sign", "as P1363, 64 bytes: valid")

    streams(keys, api, key_id)

    rotated = keys.RotateKey(
        messages.RotateKeyRequest(key_id=key_id, etag=shown.metadata.etag, request_id=str(uuid.uuid4())),
        timeout=SECONDS,
    )
    said("rotate", f"version {rotated.metadata.primary_version} is the primary now")
    expect(rotated.metadata.primary_version == 2, "the primary has moved")
    expect(rotated.public_key != key.public_key, "to another public key")
    matched = verify(message, signed.signature)
    expect(matched.valid and matched.version == 1, "the old signature is still valid")
    said("verify", "the signature from before the rotation: valid, version 1")

    refused(
        "rotate with the etag from before",
        grpc.StatusCode.ABORTED,
        "ETAG_MISMATCH",
        lambda: keys.RotateKey(
            messages.RotateKeyRequest(key_id=key_id, etag=shown.metadata.etag), timeout=SECONDS
        ),
    )

    ids, page = [], ""
    while True:
        request = messages.ListKeysRequest(page_size=1, page_token=page, filter="labels.made-by = python")
        answer = keys.ListKeys(request, timeout=SECONDS)
        ids += [key.id for key in answer.keys]
        page = answer.next_page_token
        if not page:
            break
    said("list", f"{len(ids)} of python's keys, a page each: {', '.join(ids)}")
    expect(key_id in ids and ids == sorted(ids), "the key is among them, and they are in order")


def errors(keys, api):
    """What is refused, and how it is said."""
    messages = api.key_management_pb2
    nobody = f"python-{uuid.uuid4().hex[:12]}"
    refused(
        "get a key that is not there",
        grpc.StatusCode.NOT_FOUND,
        "KEY_NOT_FOUND",
        lambda: keys.GetKey(messages.GetKeyRequest(key_id=nobody), timeout=SECONDS),
    )
    refused(
        "create a key of an unknown type",
        grpc.StatusCode.INVALID_ARGUMENT,
        "UNSUPPORTED_KEY_TYPE",
        lambda: keys.CreateKey(messages.CreateKeyRequest(key_type="rot13"), timeout=SECONDS),
        field="key_type",
    )
    refused(
        "sign nothing",
        grpc.StatusCode.INVALID_ARGUMENT,
        "FIELD_REQUIRED",
        lambda: keys.SignMessage(messages.SignRequest(key_id=nobody), timeout=SECONDS),
        field="input",
    )


def refused(what, code, reason, call, field=None):
    """Calls, and expects an error with this code, this ErrorInfo and, if named, this field at fault."""
    try:
        call()
    except grpc.RpcError as error:
        info, fields = details(error)
        at_fault = f", at fault: {', '.join(fields)}" if fields else ""
        said("error", f"{what}: {error.code().name} / {info.reason}{at_fault}: {error.details()}")
        expect(error.code() == code and info.reason == reason, f"it is {code.name} / {reason}")
        expect(info.domain == "skms", "the domain is skms")
        expect(field is None or field in fields, f"the field at fault is {field}")
    else:
        expect(False, f"{what}: it is refused")


def details(error):
    """The one ErrorInfo of an error, and the fields that its BadRequest names."""
    infos, fields = [], []
    status = rpc_status.from_call(error)
    expect(status is not None, f"the error has details: {error}")
    for detail in status.details:
        info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            infos.append(info)
        elif detail.Unpack(request):
            fields += [violation.field for violation in request.field_violations]
    expect(len(infos) == 1, "an error has exactly one ErrorInfo")
    return infos[0], fields


def said(step, what):
    print(f"  {step:<8} {what}", flush=True)


def expect(true, what):
    if not true:
        sys.exit(f"python: this does not hold: {what}")


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as error:
        sys.exit(f"python: {error.code().name}: {error.details()}")
