package machine

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// group is work that is ended together.
type group struct {
	mu     sync.Mutex
	parent context.Context
	ctx    context.Context
	cancel context.CancelFunc
	work   *sync.WaitGroup
}

func newGroup(parent context.Context) *group {
	g := &group{parent: parent}
	g.reset()

	return g
}

func (g *group) reset() {
	g.ctx, g.cancel = context.WithCancel(g.parent)
	g.work = &sync.WaitGroup{}
}

// Go begins a piece of work.
func (g *group) Go(do func(ctx context.Context)) {
	g.mu.Lock()
	ctx, work := g.ctx, g.work
	g.mu.Unlock()
	work.Go(func() { do(ctx) })
}

// Stop ends all work, and waits for it, up to a limit; afterwards new work may begin.
func (g *group) Stop(limit time.Duration) error {
	g.mu.Lock()
	cancel, work := g.cancel, g.work
	g.reset()
	g.mu.Unlock()
	cancel()

	done := make(chan struct{})

	go func() {
		work.Wait()
		close(done)
	}()

	select {
	case <-done:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("still busy after %s", limit)
	}
}
