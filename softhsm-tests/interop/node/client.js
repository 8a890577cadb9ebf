// A client of Node.js that knows proto/ and nothing else of the gateway.
//
//     SKMS_CA=FILE SKMS_TOKEN_FILE=FILE node client.js [HOST:PORT]        (default localhost:7443)
//
// It signs one message, a batch and a stream with a key that it made, verifies them, reads the
// details of an error, gives up at a deadline, and calls again where the first connection was
// cut. It ends with exit code 0 only if all of it was answered as proto/ promises.

"use strict";

const assert = require("node:assert/strict");
const { randomUUID } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { connect, createServer } = require("node:net");
const { dirname, join } = require("node:path");
const { promisify } = require("node:util");

const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const PROTO = join(__dirname, "../../../proto");
const OF_GOOGLE = dirname(require.resolve("google-proto-files/package.json"));
const SECONDS = 20; // for each call
const ITEMS = 100;

const files = ["skms/v1/key_management.proto", "google/rpc/status.proto", "google/rpc/error_details.proto"];
const options = { enums: String, longs: Number, defaults: true, oneofs: true, keepCase: true };
const loaded = loader.loadSync(files, { includeDirs: [PROTO, OF_GOOGLE], ...options });
const { KeyManagement } = grpc.loadPackageDefinition(loaded).skms.v1;

// Calls that change nothing, or have a request_id, may be made again: in all for longer than
// a channel lets pass before it connects again.
const SERVICE_CONFIG = JSON.stringify({
  methodConfig: [
    {
      name: [{ service: "skms.v1.KeyManagement" }],
      retryPolicy: {
        maxAttempts: 5,
        initialBackoff: "1s",
        maxBackoff: "5s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
});

/** The service at an address, with the token of SKMS_TOKEN_FILE; SKMS_CA vouches for it. */
function service(address) {
  const token = readFileSync(process.env.SKMS_TOKEN_FILE, "utf8").trim();
  const bearer = grpc.credentials.createFromMetadataGenerator((_, done) => {
    const metadata = new grpc.Metadata();
    metadata.set("authorization", `Bearer ${token}`);
    done(null, metadata);
  });
  const tls = grpc.credentials.createSsl(readFileSync(process.env.SKMS_CA));
  const credentials = grpc.credentials.combineChannelCredentials(tls, bearer);
  return new KeyManagement(address, credentials, {
    "grpc.service_config": SERVICE_CONFIG,
    "grpc.initial_reconnect_backoff_ms": 100,
  });
}

/** A unary call as a promise. */
function call(keys, method, request, seconds = SECONDS) {
  return promisify(keys[method].bind(keys))(request, new grpc.Metadata(), { deadline: Date.now() + seconds * 1000 });
}

/** The details of an error by their names, such as `ErrorInfo`. */
function details(error) {
  const found = {};
  for (const bytes of error.metadata.get("grpc-status-details-bin")) {
    for (const detail of loaded["google.rpc.Status"].deserialize(bytes).details) {
      const name = detail.type_url.split("/")[1];
      found[name.split(".").pop()] = loaded[name].deserialize(detail.value);
    }
  }
  return found;
}

async function refused(promise) {
  const error = await promise.then(() => assert.fail("it was not refused"), (error) => error);
  return { code: grpc.status[error.code], ...details(error) };
}

/** A stream of signatures: what it answers, in order. */
async function signStream(keys, keyId, texts) {
  const stream = keys.SignStream({ deadline: Date.now() + SECONDS * 1000 });
  stream.write({ start: { default_key_id: keyId, ordered: true } });
  texts.forEach((message, at) => stream.write({ sequence: at + 1, sign: { message } }));
  stream.end();
  const answers = [];
  for await (const answer of stream) {
    answers.push(answer);
  }
  return answers;
}

/** A way to the gateway whose first connection is cut. */
async function cutOnce(address) {
  const [host, port] = address.split(":");
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    if (connections === 1) {
      socket.destroy();
      return;
    }
    const onward = connect(Number(port), host);
    for (const [from, to] of [[socket, onward], [onward, socket]]) {
      from.on("error", () => to.destroy());
      from.pipe(to);
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { address: `localhost:${server.address().port}`, connections: () => connections, close: () => server.close() };
}

async function main(address) {
  const keys = service(address);
  const key_id = `node-${randomUUID().slice(0, 8)}`;
  const request = { key_type: "ec-p256", key_id, request_id: randomUUID() };
  const key = await call(keys, "CreateKey", request);
  said("create", `${key.id} on ${key.metadata.params.backend}`);

  const message = Buffer.from("from node");
  const { signature } = await call(keys, "SignMessage", { key_id, message });
  assert((await call(keys, "VerifySignature", { key_id, message, signature })).valid);
  assert(!(await call(keys, "VerifySignature", { key_id, message: Buffer.from("changed"), signature })).valid);
  said("sign", `${signature.length} bytes; valid, and not for another message`);

  const requests = [{ key_id, message }, { key_id: "nobody", message }];
  const { results } = await call(keys, "BatchSign", { requests });
  assert.deepEqual(results.map((each) => each.result), ["response", "error"]);
  assert.equal(results[1].error.code, grpc.status.NOT_FOUND);
  said("batch", `one signature; one error, ${results[1].error.message}`);

  const texts = Array.from({ length: ITEMS }, (_, number) => Buffer.from(`text ${number}`));
  const [first, ...answers] = await signStream(keys, key_id, texts);
  assert.equal(first.result, "ack");
  assert.deepEqual(answers.map((answer) => answer.sequence), texts.map((_, at) => at + 1));
  const questions = answers.map((answer, at) => ({ key_id, message: texts[at], signature: answer.response.signature }));
  const verdicts = await call(keys, "BatchVerify", { requests: questions });
  assert(verdicts.results.every((each) => each.response.valid));
  said("stream", `${answers.length} signatures in their order, all valid`);

  const unknown = await refused(call(keys, "CreateKey", { key_type: "rot13" }));
  assert.deepEqual([unknown.code, unknown.ErrorInfo.reason], ["INVALID_ARGUMENT", "UNSUPPORTED_KEY_TYPE"]);
  assert.deepEqual(unknown.BadRequest.field_violations.map((violation) => violation.field), ["key_type"]);
  said("error", `${unknown.code} / ${unknown.ErrorInfo.reason}, at fault: key_type`);

  const late = await refused(call(keys, "CreateKey", { key_type: "rsa-4096" }, 0.002));
  assert.equal(late.code, "DEADLINE_EXCEEDED");
  said("deadline", `${late.code}`);
  keys.close();

  const way = await cutOnce(address);
  const again = service(way.address);
  assert.equal((await call(again, "GetKey", { key_id })).id, key_id);
  assert(way.connections() > 1);
  said("retry", `answered by connection ${way.connections()}, after the first was cut`);
  again.close();
  way.close();
  console.log("node: everything was answered as proto/ promises");
}

function said(step, what) {
  console.log(`  ${step.padEnd(8)} ${what}`);
}

main(process.argv[2] ?? "localhost:7443").catch((error) => {
  console.error("node:", error);
  process.exit(1);
});
