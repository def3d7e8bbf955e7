package boot

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// clockDevice is the machine's own clock, which is its host's.
	clockDevice = "/dev/rtc0"
	// clockTolerance is how far off the clock may be. Certificates issued on other machines are valid from a moment ago.
	clockTolerance = 50 * time.Millisecond
)

// SetClock sets the clock to the machine's own, to the beginning of a second: the kernel took over whole seconds only.
func SetClock() error {
	device, err := os.Open(clockDevice)
	if err != nil {
		return err
	}

	defer device.Close() // only read

	first, err := unix.IoctlGetRTCTime(int(device.Fd()))
	if err != nil {
		return fmt.Errorf("%s: %w", clockDevice, err)
	}

	now := first
	for began := time.Now(); now.Sec == first.Sec; time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 2*time.Second {
			return fmt.Errorf("%s stands still", clockDevice)
		}

		if now, err = unix.IoctlGetRTCTime(int(device.Fd())); err != nil {
			return fmt.Errorf("%s: %w", clockDevice, err)
		}
	}

	right := time.Date(int(now.Year)+1900, time.Month(now.Mon+1), int(now.Mday), int(now.Hour), int(now.Min), int(now.Sec), 0, time.UTC)
	if off := time.Since(right).Abs(); off < clockTolerance {
		return nil
	}

	value := unix.NsecToTimeval(right.UnixNano())

	return unix.Settimeofday(&value)
}

// KeepClock sets the clock periodically: that of an emulated machine runs slow.
func KeepClock(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Second):
		}

		if err := SetClock(); err != nil {
			log.Printf("clock: %v", err)
		}
	}
}
