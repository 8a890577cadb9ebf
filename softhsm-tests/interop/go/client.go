// A client of Go that knows proto/ and nothing else of the gateway.
//
//	SKMS_CA=FILE SKMS_TOKEN_FILE=FILE client [HOST:PORT]        (default localhost:7443)
//
// It signs one message, a batch and a stream with a key that it made, verifies them, reads the
// details of an error, gives up at a deadline, and calls again where the first connection was
// cut. It ends with exit code 0 only if all of it was answered as proto/ promises.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	pb "skms.example/interop/skmsv1"
)

const (
	patience = 20 * time.Second // for each call
	items    = 100
)

// Calls that change nothing, or have a request_id, may be made again: in all for longer than
// the second that a channel lets pass before it connects again.
const serviceConfig = `{"methodConfig": [{
	"name": [{"service": "skms.v1.KeyManagement"}],
	"retryPolicy": {
		"maxAttempts": 5, "initialBackoff": "1s", "maxBackoff": "5s", "backoffMultiplier": 2,
		"retryableStatusCodes": ["UNAVAILABLE"]
	}
}]}`

// bearer sends the token of a file, over TLS only.
type bearer string

func (file bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, err := os.ReadFile(string(file))
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + strings.TrimSpace(string(token))}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }

// connect gives the service at an address; SKMS_CA vouches for it.
func connect(address string) (pb.KeyManagementClient, io.Closer) {
	tls, err := credentials.NewClientTLSFromFile(os.Getenv("SKMS_CA"), "")
	must(err)
	connection, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(tls),
		grpc.WithPerRPCCredentials(bearer(os.Getenv("SKMS_TOKEN_FILE"))),
		grpc.WithDefaultServiceConfig(serviceConfig))
	must(err)
	return pb.NewKeyManagementClient(connection), connection
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("go: ")
	address := "localhost:7443"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	keys, connection := connect(address)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()

	id := fmt.Sprintf("go-%x", time.Now().UnixNano())
	key, err := keys.CreateKey(ctx, &pb.CreateKeyRequest{KeyType: "ec-p256", KeyId: id})
	must(err)
	said("create", "%s on %s", key.Id, key.Metadata.Params.Backend)

	unary(ctx, keys, id)
	batch(ctx, keys, id)
	stream(ctx, keys, id)
	refused(ctx, keys)
	must(connection.Close())
	cut(ctx, address, id)
	fmt.Println("go: everything was answered as proto/ promises")
}

func unary(ctx context.Context, keys pb.KeyManagementClient, id string) {
	message := []byte("from go")
	signed, err := keys.SignMessage(ctx, signRequest(id, message))
	must(err)
	expect(valid(ctx, keys, id, message, signed.Signature), "the signature is valid")
	expect(!valid(ctx, keys, id, []byte("changed"), signed.Signature), "not for another message")
	said("sign", "%d bytes; valid, and not for another message", len(signed.Signature))
}

func batch(ctx context.Context, keys pb.KeyManagementClient, id string) {
	message := []byte("from go")
	requests := []*pb.SignRequest{signRequest(id, message), signRequest("nobody", message)}
	answer, err := keys.BatchSign(ctx, &pb.BatchSignRequest{Requests: requests})
	must(err)
	expect(len(answer.Results) == 2 && answer.Results[0].GetResponse() != nil, "one signature")
	failed := status.FromProto(answer.Results[1].GetError())
	expect(failed.Code() == codes.NotFound, "one error")
	said("batch", "one signature; one error, %s", failed.Message())
}

func stream(ctx context.Context, keys pb.KeyManagementClient, id string) {
	signing, err := keys.SignStream(ctx)
	must(err)
	start := &pb.SignStreamStart{DefaultKeyId: id, Ordered: true}
	must(signing.Send(&pb.SignStreamRequest{Kind: &pb.SignStreamRequest_Start{Start: start}}))
	go func() {
		for number := uint64(1); number <= items; number++ {
			sign := &pb.SignStreamRequest_Sign{Sign: signRequest("", text(number))}
			must(signing.Send(&pb.SignStreamRequest{Sequence: number, Kind: sign}))
		}
		must(signing.CloseSend())
	}()
	first, err := signing.Recv()
	must(err)
	expect(first.GetAck() != nil, "the stream is granted first")
	last := uint64(0)
	for {
		answer, err := signing.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		must(err)
		last++
		expect(answer.Sequence == last, "answers in their order")
		expect(valid(ctx, keys, id, text(last), answer.GetResponse().GetSignature()), "each is valid")
	}
	expect(last == items, "all are answered")
	said("stream", "%d signatures in their order, all valid", last)
}

func refused(ctx context.Context, keys pb.KeyManagementClient) {
	_, err := keys.CreateKey(ctx, &pb.CreateKeyRequest{KeyType: "rot13"})
	var reason, field string
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			reason = detail.Reason
		case *errdetails.BadRequest:
			field = detail.FieldViolations[0].Field
		}
	}
	expect(status.Code(err) == codes.InvalidArgument, "it is refused")
	expect(reason == "UNSUPPORTED_KEY_TYPE" && field == "key_type", "and says what is wrong")
	said("error", "%s / %s, at fault: %s", status.Code(err), reason, field)

	hurried, cancel := context.WithTimeout(ctx, 2*time.Millisecond)
	defer cancel()
	_, err = keys.CreateKey(hurried, &pb.CreateKeyRequest{KeyType: "rsa-4096"})
	expect(status.Code(err) == codes.DeadlineExceeded, "it is given up")
	said("deadline", "%s", status.Code(err))
}

// cut calls through a way to the gateway whose first connection is cut.
func cut(ctx context.Context, address, id string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer listener.Close()
	var connections atomic.Int32
	go func() {
		for {
			inward, err := listener.Accept()
			if err != nil {
				return
			}
			if connections.Add(1) == 1 {
				inward.Close()
				continue
			}
			outward, err := net.Dial("tcp", address)
			must(err)
			go func() { io.Copy(outward, inward); outward.Close() }()
			go func() { io.Copy(inward, outward); inward.Close() }()
		}
	}()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	must(err)
	keys, connection := connect("localhost:" + port)
	defer connection.Close()
	key, err := keys.GetKey(ctx, &pb.GetKeyRequest{KeyId: id})
	must(err)
	expect(key.Id == id && connections.Load() > 1, "it is answered by another connection")
	said("retry", "answered by connection %d, after the first was cut", connections.Load())
}

func signRequest(id string, message []byte) *pb.SignRequest {
	return &pb.SignRequest{KeyId: id, Input: &pb.SignRequest_Message{Message: message}}
}

func valid(ctx context.Context, keys pb.KeyManagementClient, id string, message, signature []byte) bool {
	answer, err := keys.VerifySignature(ctx, &pb.VerifyRequest{
		KeyId: id, Input: &pb.VerifyRequest_Message{Message: message}, Signature: signature,
	})
	must(err)
	return answer.Valid
}

func text(number uint64) []byte {
	return fmt.Appendf(nil, "text %d", number)
}

func said(step, form string, values ...any) {
	fmt.Printf("  %-8s %s\n", step, fmt.Sprintf(form, values...))
}

func expect(true bool, what string) {
	if !true {
		log.Fatalf("this does not hold: %s", what)
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
