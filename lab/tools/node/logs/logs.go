// Package logs keeps what each service writes: the last MiB or so, in memory.
package logs

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"sync"
)

const kept = 512 << 10

// Store holds the log of every service.
type Store struct {
	mu   sync.Mutex
	logs map[string]*Log
}

// New returns an empty store.
func New() *Store { return &Store{logs: map[string]*Log{}} }

// Log is one service's log.
type Log struct {
	mu      sync.Mutex
	data    []byte
	dropped int
	changed chan struct{}
}

// Of returns the log of a service, made when it does not exist.
func (s *Store) Of(id string) *Log {
	s.mu.Lock()
	defer s.mu.Unlock()

	l, ok := s.logs[id]
	if !ok {
		l = &Log{changed: make(chan struct{})}
		s.logs[id] = l
	}

	return l
}

// Writer returns the log as a writer.
func (s *Store) Writer(id string) io.Writer { return s.Of(id) }

// Has tells whether a service ever had a log.
func (s *Store) Has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	_, ok := s.logs[id]

	return ok
}

// IDs lists the services that have a log.
func (s *Store) IDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()

	return slices.Sorted(maps.Keys(s.logs))
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.data = append(l.data, p...)
	if extra := len(l.data) - 2*kept; extra > 0 {
		extra += kept
		l.dropped += extra
		l.data = append([]byte(nil), l.data[extra:]...)
	}

	close(l.changed)
	l.changed = make(chan struct{})

	return len(p), nil
}

// Read sends the last lines (a negative number: all), and with follow what comes later, until ctx ends.
func (l *Log) Read(ctx context.Context, lines int, follow bool, send func([]byte) error) error {
	l.mu.Lock()
	position := l.dropped

	if lines >= 0 {
		position += lastLines(l.data, lines)
	}
	l.mu.Unlock()

	for {
		l.mu.Lock()
		changed := l.changed
		position = max(position, l.dropped)
		chunk := append([]byte(nil), l.data[position-l.dropped:]...)
		position += len(chunk)
		l.mu.Unlock()

		for part := range slices.Chunk(chunk, 32<<10) {
			if err := send(part); err != nil {
				return err
			}
		}

		if !follow {
			return nil
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func lastLines(data []byte, lines int) int {
	end := len(bytes.TrimSuffix(data, []byte("\n")))
	if lines == 0 {
		return len(data)
	}

	for range lines {
		end = bytes.LastIndexByte(data[:end], '\n')
		if end < 0 {
			return 0
		}
	}

	return end + 1
}
