package interop;

import com.google.protobuf.ByteString;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import io.grpc.CallCredentials;
import io.grpc.ChannelCredentials;
import io.grpc.CompositeChannelCredentials;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import skms.v1.KeyManagementGrpc;
import skms.v1.KeyManagementGrpc.KeyManagementBlockingStub;
import skms.v1.KeyManagementOuterClass.BatchSignRequest;
import skms.v1.KeyManagementOuterClass.CreateKeyRequest;
import skms.v1.KeyManagementOuterClass.GetKeyRequest;
import skms.v1.KeyManagementOuterClass.SignRequest;
import skms.v1.KeyManagementOuterClass.SignStreamRequest;
import skms.v1.KeyManagementOuterClass.SignStreamResponse;
import skms.v1.KeyManagementOuterClass.SignStreamStart;
import skms.v1.KeyManagementOuterClass.VerifyRequest;

/**
 * A client of Java that knows proto/ and nothing else of the gateway.
 *
 * <pre>SKMS_CA=FILE SKMS_TOKEN_FILE=FILE java interop.Client [HOST:PORT]     (default localhost:7443)</pre>
 *
 * <p>It signs one message, a batch and a stream with a key that it made, verifies them, reads the details of an
 * error, gives up at a deadline, and calls again where the first connection was cut. It ends with exit code 0 only
 * if all of it was answered as proto/ promises.
 */
public final class Client {
  private static final long SECONDS = 20; // for each call
  private static final int ITEMS = 100;

  /**
   * Calls that change nothing, or have a request_id, may be made again: in all for longer than the second that a
   * channel lets pass before it connects again.
   */
  private static final Map<String, ?> SERVICE_CONFIG =
      Map.of(
          "methodConfig",
          List.of(
              Map.of(
                  "name", List.of(Map.of("service", "skms.v1.KeyManagement")),
                  "retryPolicy",
                      Map.of(
                          "maxAttempts", 5.0,
                          "initialBackoff", "2s",
                          "maxBackoff", "5s",
                          "backoffMultiplier", 2.0,
                          "retryableStatusCodes", List.of("UNAVAILABLE")))));

  private final KeyManagementBlockingStub keys;
  private final KeyManagementGrpc.KeyManagementStub streams;
  private final String id;

  private Client(ManagedChannel channel, String id) {
    this.keys = KeyManagementGrpc.newBlockingStub(channel);
    this.streams = KeyManagementGrpc.newStub(channel);
    this.id = id;
  }

  /** The token of a file, which may be replaced by another at any time. */
  private static final class Bearer extends CallCredentials {
    private static final Metadata.Key<String> AUTHORIZATION =
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    @Override
    public void applyRequestMetadata(RequestInfo request, Executor executor, MetadataApplier applier) {
      try {
        Metadata metadata = new Metadata();
        String token = Files.readString(Path.of(System.getenv("SKMS_TOKEN_FILE"))).strip();
        metadata.put(AUTHORIZATION, "Bearer " + token);
        applier.apply(metadata);
      } catch (IOException error) {
        applier.fail(Status.UNAUTHENTICATED.withCause(error));
      }
    }
  }

  /** A channel to an address; SKMS_CA vouches for it. */
  private static ManagedChannel connect(String address) throws IOException {
    ChannelCredentials tls =
        TlsChannelCredentials.newBuilder().trustManager(new File(System.getenv("SKMS_CA"))).build();
    return Grpc.newChannelBuilder(address, CompositeChannelCredentials.create(tls, new Bearer()))
        .defaultServiceConfig(SERVICE_CONFIG)
        .build();
  }

  public static void main(String[] arguments) throws Exception {
    String address = arguments.length > 0 ? arguments[0] : "localhost:7443";
    String id = "java-" + UUID.randomUUID().toString().substring(0, 8);
    ManagedChannel channel = connect(address);
    Client client = new Client(channel, id);
    client.create();
    client.unary();
    client.batch();
    client.stream();
    client.refused();
    channel.shutdownNow();
    cut(address, id);
    System.out.println("java: everything was answered as proto/ promises");
    System.exit(0);
  }

  private KeyManagementBlockingStub inTime() {
    return keys.withDeadlineAfter(SECONDS, TimeUnit.SECONDS);
  }

  private void create() {
    var request = CreateKeyRequest.newBuilder().setKeyType("ec-p256").setKeyId(id).setRequestId(UUID.randomUUID().toString());
    var key = inTime().createKey(request.build());
    said("create", key.getId() + " on " + key.getMetadata().getParams().getBackend());
  }

  private void unary() {
    ByteString message = ByteString.copyFromUtf8("from java");
    ByteString signature = inTime().signMessage(request(id, message)).getSignature();
    expect(isValid(message, signature), "the signature is valid");
    expect(!isValid(ByteString.copyFromUtf8("changed"), signature), "not for another message");
    said("sign", signature.size() + " bytes; valid, and not for another message");
  }

  private void batch() {
    ByteString message = ByteString.copyFromUtf8("from java");
    var requests =
        BatchSignRequest.newBuilder().addRequests(request(id, message)).addRequests(request("nobody", message));
    var results = inTime().batchSign(requests.build()).getResultsList();
    expect(results.size() == 2 && results.get(0).hasResponse(), "one signature");
    var error = results.get(1).getError();
    expect(error.getCode() == Status.Code.NOT_FOUND.value(), "one error");
    said("batch", "one signature; one error, " + error.getMessage());
  }

  private void stream() throws Exception {
    List<SignStreamResponse> answers = new ArrayList<>();
    CompletableFuture<Void> ended = new CompletableFuture<>();
    var answered =
        new StreamObserver<SignStreamResponse>() {
          @Override
          public void onNext(SignStreamResponse answer) {
            answers.add(answer);
          }

          @Override
          public void onError(Throwable error) {
            ended.completeExceptionally(error);
          }

          @Override
          public void onCompleted() {
            ended.complete(null);
          }
        };
    var asked = streams.withDeadlineAfter(SECONDS, TimeUnit.SECONDS).signStream(answered);
    var start = SignStreamStart.newBuilder().setDefaultKeyId(id).setOrdered(true);
    asked.onNext(SignStreamRequest.newBuilder().setStart(start).build());
    for (int number = 1; number <= ITEMS; number++) {
      asked.onNext(SignStreamRequest.newBuilder().setSequence(number).setSign(request("", text(number))).build());
    }
    asked.onCompleted();
    ended.get(SECONDS, TimeUnit.SECONDS);
    expect(answers.size() == ITEMS + 1 && answers.get(0).hasAck(), "the stream is granted, and all is answered");
    for (int number = 1; number <= ITEMS; number++) {
      SignStreamResponse answer = answers.get(number);
      expect(answer.getSequence() == number, "answers in their order");
      expect(isValid(text(number), answer.getResponse().getSignature()), "each is valid");
    }
    said("stream", ITEMS + " signatures in their order, all valid");
  }

  private void refused() throws Exception {
    StatusRuntimeException error =
        failure(() -> inTime().createKey(CreateKeyRequest.newBuilder().setKeyType("rot13").build()));
    String reason = "";
    String field = "";
    for (var detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(ErrorInfo.class)) {
        reason = detail.unpack(ErrorInfo.class).getReason();
      } else if (detail.is(BadRequest.class)) {
        field = detail.unpack(BadRequest.class).getFieldViolations(0).getField();
      }
    }
    expect(error.getStatus().getCode() == Status.Code.INVALID_ARGUMENT, "it is refused");
    expect(reason.equals("UNSUPPORTED_KEY_TYPE") && field.equals("key_type"), "and says what is wrong");
    said("error", "INVALID_ARGUMENT / " + reason + ", at fault: " + field);

    var slow = CreateKeyRequest.newBuilder().setKeyType("rsa-4096").build();
    error = failure(() -> keys.withDeadlineAfter(2, TimeUnit.MILLISECONDS).createKey(slow));
    expect(error.getStatus().getCode() == Status.Code.DEADLINE_EXCEEDED, "it is given up");
    said("deadline", "DEADLINE_EXCEEDED");
  }

  /** Calls through a way to the gateway whose first connection is cut. */
  private static void cut(String address, String id) throws IOException {
    int colon = address.lastIndexOf(':');
    String host = address.substring(0, colon);
    int port = Integer.parseInt(address.substring(colon + 1));
    AtomicInteger connections = new AtomicInteger();
    try (ServerSocket server = new ServerSocket(0, 16, InetAddress.getLoopbackAddress())) {
      daemon(
          () -> {
            while (true) {
              Socket inward = server.accept();
              if (connections.incrementAndGet() == 1) {
                inward.close();
                continue;
              }
              Socket outward = new Socket(host, port);
              daemon(() -> inward.getInputStream().transferTo(outward.getOutputStream()));
              daemon(() -> outward.getInputStream().transferTo(inward.getOutputStream()));
            }
          });
      ManagedChannel channel = connect("localhost:" + server.getLocalPort());
      var key = new Client(channel, id).inTime().getKey(GetKeyRequest.newBuilder().setKeyId(id).build());
      expect(key.getId().equals(id) && connections.get() > 1, "it is answered by another connection");
      said("retry", "answered by connection " + connections + ", after the first was cut");
      channel.shutdownNow();
    }
  }

  private interface Work {
    void run() throws IOException;
  }

  /** Does it beside the rest, until a socket that it uses is closed. */
  private static void daemon(Work work) {
    Thread thread =
        new Thread(
            () -> {
              try {
                work.run();
              } catch (IOException closed) {
                return;
              }
            });
    thread.setDaemon(true);
    thread.start();
  }

  private static StatusRuntimeException failure(Runnable call) {
    try {
      call.run();
    } catch (StatusRuntimeException error) {
      return error;
    }
    throw new AssertionError("it was not refused");
  }

  private static SignRequest request(String id, ByteString message) {
    return SignRequest.newBuilder().setKeyId(id).setMessage(message).build();
  }

  private boolean isValid(ByteString message, ByteString signature) {
    var question = VerifyRequest.newBuilder().setKeyId(id).setMessage(message).setSignature(signature);
    return inTime().verifySignature(question.build()).getValid();
  }

  private static ByteString text(int number) {
    return ByteString.copyFromUtf8("text " + number);
  }

  private static void said(String step, String what) {
    System.out.printf("  %-8s %s%n", step, what);
  }

  private static void expect(boolean isTrue, String what) {
    if (!isTrue) {
      throw new AssertionError("this does not hold: " + what);
    }
  }
}
