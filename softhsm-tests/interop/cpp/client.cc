// A client of C++ that knows proto/ and nothing else of the gateway.
//
//     SKMS_CA=FILE SKMS_TOKEN_FILE=FILE client [HOST:PORT]        (default localhost:7443)
//
// It signs one message, a batch and a stream with a key that it made, verifies them, reads the
// details of an error, gives up at a deadline, and calls again where the first connection was
// cut. It ends with exit code 0 only if all of it was answered as proto/ promises.

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/grpcpp.h>
#include <skms/v1/key_management.grpc.pb.h>

namespace {

namespace api = skms::v1;
using Keys = api::KeyManagement::Stub;

constexpr std::chrono::seconds kPatience(20);  // for each call
constexpr unsigned kItems = 100;

// Calls that change nothing, or have a request_id, may be made again: in all for longer than
// the second that a channel lets pass before it connects again.
constexpr char kServiceConfig[] = R"({"methodConfig": [{
  "name": [{"service": "skms.v1.KeyManagement"}],
  "retryPolicy": {
    "maxAttempts": 5, "initialBackoff": "1s", "maxBackoff": "5s", "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"]
  }
}]})";

void said(const std::string& step, const std::string& what) {
  std::cout << "  " << step << std::string(step.size() < 9 ? 9 - step.size() : 1, ' ') << what << std::endl;
}

void expect(bool is_true, const std::string& what) {
  if (!is_true) {
    std::cerr << "cpp: this does not hold: " << what << std::endl;
    std::exit(1);
  }
}

void must(const grpc::Status& status) {
  expect(status.ok(), status.error_message());
}

std::string file_of(const char* variable) {
  const char* path = std::getenv(variable);
  expect(path != nullptr, std::string(variable) + " is set");
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The service at an address, with the token of SKMS_TOKEN_FILE; SKMS_CA vouches for it.
std::unique_ptr<Keys> connect_to(const std::string& address) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = file_of("SKMS_CA");
  std::string token = file_of("SKMS_TOKEN_FILE");
  token.erase(token.find_last_not_of(" \n") + 1);
  auto credentials =
      grpc::CompositeChannelCredentials(grpc::SslCredentials(tls), grpc::AccessTokenCredentials(token));
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(kServiceConfig);
  return api::KeyManagement::NewStub(grpc::CreateCustomChannel(address, credentials, arguments));
}

// What a call is made in.
struct Call : grpc::ClientContext {
  explicit Call(std::chrono::milliseconds patience = kPatience) {
    set_deadline(std::chrono::system_clock::now() + patience);
  }
};

api::SignRequest sign_request(const std::string& id, const std::string& message) {
  api::SignRequest request;
  request.set_key_id(id);
  request.set_message(message);
  return request;
}

bool is_valid(Keys& keys, const std::string& id, const std::string& message, const std::string& signature) {
  api::VerifyRequest request;
  request.set_key_id(id);
  request.set_message(message);
  request.set_signature(signature);
  api::VerifyResponse answer;
  Call call;
  must(keys.VerifySignature(&call, request, &answer));
  return answer.valid();
}

void create(Keys& keys, const std::string& id) {
  api::CreateKeyRequest request;
  request.set_key_type("ec-p256");
  request.set_key_id(id);
  api::KeyResponse key;
  Call call;
  must(keys.CreateKey(&call, request, &key));
  said("create", key.id() + " on " + key.metadata().params().backend());
}

void unary(Keys& keys, const std::string& id) {
  const std::string message = "from cpp";
  api::SignResponse signed_;
  Call call;
  must(keys.SignMessage(&call, sign_request(id, message), &signed_));
  expect(is_valid(keys, id, message, signed_.signature()), "the signature is valid");
  expect(!is_valid(keys, id, "changed", signed_.signature()), "not for another message");
  said("sign", std::to_string(signed_.signature().size()) + " bytes; valid, and not for another message");
}

void batch(Keys& keys, const std::string& id) {
  api::BatchSignRequest request;
  *request.add_requests() = sign_request(id, "from cpp");
  *request.add_requests() = sign_request("nobody", "from cpp");
  api::BatchSignResponse answer;
  Call call;
  must(keys.BatchSign(&call, request, &answer));
  expect(answer.results_size() == 2 && answer.results(0).has_response(), "one signature");
  const google::rpc::Status& error = answer.results(1).error();
  expect(error.code() == grpc::StatusCode::NOT_FOUND, "one error");
  said("batch", "one signature; one error, " + error.message());
}

std::string text(unsigned number) { return "text " + std::to_string(number); }

void stream(Keys& keys, const std::string& id) {
  Call call;
  auto signing = keys.SignStream(&call);
  std::thread asking([&] {
    api::SignStreamRequest start;
    start.mutable_start()->set_default_key_id(id);
    start.mutable_start()->set_ordered(true);
    signing->Write(start);
    for (unsigned number = 1; number <= kItems; ++number) {
      api::SignStreamRequest request;
      request.set_sequence(number);
      request.mutable_sign()->set_message(text(number));
      signing->Write(request);
    }
    signing->WritesDone();
  });
  api::SignStreamResponse answer;
  expect(signing->Read(&answer) && answer.has_ack(), "the stream is granted first");
  unsigned last = 0;
  while (signing->Read(&answer)) {
    ++last;
    expect(answer.sequence() == last, "answers in their order");
    expect(is_valid(keys, id, text(last), answer.response().signature()), "each is valid");
  }
  asking.join();
  must(signing->Finish());
  expect(last == kItems, "all are answered");
  said("stream", std::to_string(last) + " signatures in their order, all valid");
}

void refused(Keys& keys) {
  api::CreateKeyRequest request;
  request.set_key_type("rot13");
  api::KeyResponse key;
  Call call;
  grpc::Status status = keys.CreateKey(&call, request, &key);
  google::rpc::Status details;
  expect(details.ParseFromString(status.error_details()), "the error has details");
  google::rpc::ErrorInfo info;
  google::rpc::BadRequest fault;
  for (const auto& detail : details.details()) {
    detail.UnpackTo(&info) || detail.UnpackTo(&fault);
  }
  expect(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT, "it is refused");
  expect(info.reason() == "UNSUPPORTED_KEY_TYPE", "and says why");
  expect(fault.field_violations_size() == 1 && fault.field_violations(0).field() == "key_type", "and where");
  said("error", "INVALID_ARGUMENT / " + info.reason() + ", at fault: key_type");

  request.set_key_type("rsa-4096");
  Call hurried(std::chrono::milliseconds(2));
  status = keys.CreateKey(&hurried, request, &key);
  expect(status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED, "it is given up");
  said("deadline", "DEADLINE_EXCEEDED");
}

// Copies what comes from one socket to another until either ends.
void copy(int from, int to) {
  char buffer[16384];
  for (ssize_t size; (size = read(from, buffer, sizeof buffer)) > 0;) {
    if (send(to, buffer, size, MSG_NOSIGNAL) != size) break;
  }
  shutdown(to, SHUT_WR);
}

int dial(const std::string& address) {
  const auto colon = address.rfind(':');
  addrinfo wanted{}, *found = nullptr;
  wanted.ai_family = AF_INET;
  wanted.ai_socktype = SOCK_STREAM;
  expect(getaddrinfo(address.substr(0, colon).c_str(), address.substr(colon + 1).c_str(), &wanted, &found) == 0,
         "the address is known");
  const int socket_ = socket(found->ai_family, found->ai_socktype, 0);
  expect(connect(socket_, found->ai_addr, found->ai_addrlen) == 0, "the gateway can be reached");
  freeaddrinfo(found);
  return socket_;
}

// Calls through a way to the gateway whose first connection is cut.
void cut(const std::string& address, const std::string& id) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in own{};
  own.sin_family = AF_INET;
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof own;
  expect(bind(listener, reinterpret_cast<sockaddr*>(&own), size) == 0 && listen(listener, 16) == 0 &&
             getsockname(listener, reinterpret_cast<sockaddr*>(&own), &size) == 0,
         "there is a port");
  static std::atomic<int> connections{0};
  std::thread([listener, address] {
    for (int inward; (inward = accept(listener, nullptr, nullptr)) >= 0;) {
      if (++connections == 1) {
        close(inward);
        continue;
      }
      const int outward = dial(address);
      std::thread(copy, inward, outward).detach();
      std::thread(copy, outward, inward).detach();
    }
  }).detach();

  auto keys = connect_to("localhost:" + std::to_string(ntohs(own.sin_port)));
  api::GetKeyRequest request;
  request.set_key_id(id);
  api::KeyResponse key;
  Call call;
  must(keys->GetKey(&call, request, &key));
  expect(key.id() == id && connections > 1, "it is answered by another connection");
  said("retry", "answered by connection " + std::to_string(connections) + ", after the first was cut");
}

}  // namespace

int main(int count, char** arguments) {
  const std::string address = count > 1 ? arguments[1] : "localhost:7443";
  const std::string id = "cpp-" + std::to_string(std::chrono::system_clock::now().time_since_epoch().count());
  auto keys = connect_to(address);
  create(*keys, id);
  unary(*keys, id);
  batch(*keys, id);
  stream(*keys, id);
  refused(*keys);
  cut(address, id);
  std::cout << "cpp: everything was answered as proto/ promises" << std::endl;
}
