// Package events is the stream of what happens on the machine, as `talosctl events` and its action tracker read it.
package events

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rs/xid"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

const kept = 1000

// Event is one thing that happened.
type Event struct {
	ID      xid.ID
	Actor   string
	Payload proto.Message
	at      time.Time
}

// Stream keeps the last events and sends them to its watchers.
type Stream struct {
	mu      sync.Mutex
	events  []Event
	first   int // how many were dropped before events[0]
	changed chan struct{}
}

// New returns an empty stream.
func New() *Stream { return &Stream{changed: make(chan struct{})} }

// Publish appends an event; actor is the id of the API call that caused it, or empty.
func (s *Stream) Publish(payload proto.Message, actor string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.events = append(s.events, Event{ID: xid.New(), Actor: actor, Payload: payload, at: time.Now()})
	if len(s.events) > kept {
		s.first += len(s.events) - kept
		s.events = s.events[len(s.events)-kept:]
	}

	close(s.changed)
	s.changed = make(chan struct{})
}

// Proto is the event as the API sends it; a nil payload makes the empty event that greets a watcher.
func (e Event) Proto() (*machine.Event, error) {
	data := &anypb.Any{}

	if e.Payload != nil {
		value, err := proto.Marshal(e.Payload)
		if err != nil {
			return nil, err
		}

		data = &anypb.Any{TypeUrl: "talos/runtime/" + string(e.Payload.ProtoReflect().Descriptor().FullName()), Value: value}
	}

	return &machine.Event{Data: data, Id: e.ID.String(), ActorId: e.Actor}, nil
}

// Watch calls send for the requested past events, then for every new one, until ctx ends or send fails.
func (s *Stream) Watch(ctx context.Context, req *machine.EventsRequest, send func(Event) error) error {
	s.mu.Lock()
	position := s.first + len(s.events)

	switch {
	case req.GetTailEvents() < 0:
		position = s.first
	case req.GetTailEvents() > 0:
		position = max(s.first, position-int(req.GetTailEvents()))
	case req.GetTailId() != "":
		id, err := xid.FromString(req.GetTailId())
		if err != nil {
			s.mu.Unlock()

			return fmt.Errorf("error parsing tail_id: %w", err)
		}

		position = s.after(func(e Event) bool { return e.ID.Compare(id) > 0 })
	case req.GetTailSeconds() != 0:
		since := time.Now().Add(-time.Duration(req.GetTailSeconds()) * time.Second)
		position = s.after(func(e Event) bool { return !e.at.Before(since) })
	}
	s.mu.Unlock()

	for {
		s.mu.Lock()
		changed := s.changed
		position = max(position, s.first)
		batch := append([]Event(nil), s.events[position-s.first:]...)
		s.mu.Unlock()

		for _, e := range batch {
			position++

			if req.GetWithActorId() != "" && e.Actor != req.GetWithActorId() {
				continue
			}

			if err := send(e); err != nil {
				return err
			}
		}

		if len(batch) > 0 {
			continue
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func (s *Stream) after(is func(Event) bool) int {
	for i, e := range s.events {
		if is(e) {
			return s.first + i
		}
	}

	return s.first + len(s.events)
}
