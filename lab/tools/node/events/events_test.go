package events_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"

	"talosmith.dev/lab/tools/node/events"
)

var errEnough = errors.New("enough")

func take(t *testing.T, s *events.Stream, req *machine.EventsRequest, n int) []string {
	t.Helper()

	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()

	var got []string

	_ = s.Watch(ctx, req, func(e events.Event) error { // ends by count or time
		got = append(got, e.Payload.(*machine.TaskEvent).GetTask())
		if len(got) == n {
			return errEnough
		}

		return nil
	})

	return got
}

func TestTail(t *testing.T) {
	s := events.New()
	for _, task := range []string{"a", "b", "c"} {
		s.Publish(&machine.TaskEvent{Task: task}, "actor-"+task)
	}

	if got := take(t, s, &machine.EventsRequest{TailEvents: -1}, 3); len(got) != 3 {
		t.Errorf("all: %v", got)
	}

	if got := take(t, s, &machine.EventsRequest{TailEvents: 1}, 1); len(got) != 1 || got[0] != "c" {
		t.Errorf("the last: %v", got)
	}

	if got := take(t, s, &machine.EventsRequest{TailEvents: -1, WithActorId: "actor-b"}, 2); len(got) != 1 || got[0] != "b" {
		t.Errorf("by actor: %v", got)
	}

	if got := take(t, s, &machine.EventsRequest{}, 1); len(got) != 0 {
		t.Errorf("only new ones: %v", got)
	}
}

func TestTypeURL(t *testing.T) {
	e, err := events.Event{Payload: &machine.MachineStatusEvent{}}.Proto()
	if err != nil || e.GetData().GetTypeUrl() != "talos/runtime/machine.MachineStatusEvent" {
		t.Errorf("%v, %v", e, err)
	}

	if hello, err := (events.Event{}).Proto(); err != nil || hello.GetData().GetTypeUrl() != "" {
		t.Errorf("%v, %v", hello, err)
	}
}
