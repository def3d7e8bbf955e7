package apid

import "fmt"

// frame is one undecoded message.
type frame struct{ bytes []byte }

// raw is a codec that neither reads nor builds messages: the proxy passes them on as they are.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) {
	f, ok := v.(*frame)
	if !ok {
		return nil, fmt.Errorf("not a frame: %T", v)
	}

	return f.bytes, nil
}

func (raw) Unmarshal(data []byte, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return fmt.Errorf("not a frame: %T", v)
	}

	f.bytes = data

	return nil
}

func (raw) Name() string { return "proto" }
