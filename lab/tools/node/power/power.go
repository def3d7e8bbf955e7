// Package power reboots and powers off the machine, and watches its power button.
package power

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Reboot reboots the machine at once; everything must have been written and stopped before, as for Off.
func Reboot() error {
	unix.Sync()

	return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

// Off turns the machine off.
func Off() error {
	unix.Sync()

	return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

const (
	eventKey  = 1
	keyPower  = 116
	eventSize = 24 // struct input_event on a 64-bit machine
)

// OnButton calls pressed whenever an ACPI power button is pressed.
func OnButton(pressed func()) {
	names, _ := filepath.Glob("/sys/class/input/event*/device/name") // the pattern is good
	for _, path := range names {
		name, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(name), "Power Button") {
			continue
		}

		f, err := os.Open("/dev/input/" + strings.Split(path, "/")[4])
		if err != nil {
			continue
		}

		go watch(f, pressed)
	}
}

func watch(f *os.File, pressed func()) {
	defer f.Close() // read only

	buffer := make([]byte, 16*eventSize)

	for {
		n, err := f.Read(buffer)
		if err != nil {
			return
		}

		for e := buffer[:n]; len(e) >= eventSize; e = e[eventSize:] {
			if isPress(e) {
				pressed()
			}
		}
	}
}

// isPress recognises the power key going down: after two time words come type, code and value.
func isPress(event []byte) bool {
	return binary.LittleEndian.Uint16(event[16:]) == eventKey && binary.LittleEndian.Uint16(event[18:]) == keyPower && binary.LittleEndian.Uint32(event[20:]) == 1
}
