package apid

import (
	"fmt"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// streams tells whether a method answers with a stream, from the compiled-in descriptors.
func streams(method string) bool {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", "."))

	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return false
	}

	m, ok := d.(protoreflect.MethodDescriptor)

	return ok && m.IsStreamingServer()
}

// annotate adds metadata.hostname to an answer. A stream's message carries the metadata itself (field 1 of the message);
// a unary answer is a list of such messages (field 1), each of which gets it. Encoded messages concatenate into one, so nothing is decoded.
func annotate(stream bool, host string, message []byte) ([]byte, error) {
	info, err := proto.Marshal(&common.Empty{Metadata: &common.Metadata{Hostname: host}})
	if err != nil {
		return nil, err
	}

	if stream {
		return append(message, info...), nil
	}

	var out []byte

	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 || number != 1 || kind != protowire.BytesType {
			return nil, fmt.Errorf("answer of an unexpected form: field %d", number)
		}

		inner, m := protowire.ConsumeBytes(message[n:])
		if m < 0 {
			return nil, protowire.ParseError(m)
		}

		out = protowire.AppendTag(out, 1, protowire.BytesType)
		out = protowire.AppendBytes(out, append(append([]byte(nil), inner...), info...))
		message = message[n+m:]
	}

	return out, nil
}

// failure is an answer that carries a node's error instead of its data.
func failure(stream bool, host string, err error) ([]byte, error) {
	e := &common.Empty{Metadata: &common.Metadata{Hostname: host, Error: err.Error(), Status: status.Convert(err).Proto()}}
	if stream {
		return proto.Marshal(e)
	}

	return proto.Marshal(&common.EmptyResponse{Messages: []*common.Empty{e}})
}
