// Package agent answers the host over the QEMU guest agent's port: the guest's identity and addresses, and its power button.
package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"
)

// Guest is what the agent reports and controls.
type Guest struct {
	Hostname func() string
	Version  string
	PowerOff func()
	Reboot   func()
}

type command struct {
	Execute   string          `json:"execute"`
	Arguments json.RawMessage `json:"arguments"`
}

// supported are the commands that are answered; everything else is CommandNotFound, as from an agent that was built without it.
var supported = []string{
	"guest-sync", "guest-sync-delimited", "guest-ping", "guest-info", "guest-get-host-name", "guest-get-osinfo", "guest-network-get-interfaces", "guest-shutdown", "guest-get-time",
}

// Run answers commands on the port until ctx ends; when the host disconnects, it waits for the next connection.
func Run(ctx context.Context, path string, g Guest) error {
	port, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}

	defer port.Close() // ends with the machine

	stop := context.AfterFunc(ctx, func() { port.Close() }) // ends the reader
	defer stop()

	var rest []byte

	buffer := make([]byte, 4096)

	for ctx.Err() == nil {
		n, err := port.Read(buffer)
		if n == 0 {
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}

			// No client is connected: the port reads as EOF until one is.
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}

			continue
		}

		rest = append(rest, buffer[:n]...)

		for {
			line, after, found := bytes.Cut(rest, []byte("\n"))
			if !found {
				break
			}

			rest = after

			if answer := g.answer(line); answer != nil {
				if _, err := port.Write(answer); err != nil {
					return err
				}
			}
		}
	}

	return ctx.Err()
}

// answer is the reply to one line; nil for a line that is none, and for a command that has no reply.
func (g Guest) answer(line []byte) []byte {
	line = bytes.TrimSpace(bytes.TrimLeft(line, "\xff"))
	if len(line) == 0 {
		return nil
	}

	var c command
	if err := json.Unmarshal(line, &c); err != nil {
		return failure("GenericError", "invalid JSON syntax")
	}

	switch c.Execute {
	case "guest-sync", "guest-sync-delimited":
		var arguments struct {
			ID json.Number `json:"id"`
		}

		if err := json.Unmarshal(c.Arguments, &arguments); err != nil {
			return failure("GenericError", "Parameter 'id' is missing")
		}

		reply := success(arguments.ID)
		if c.Execute == "guest-sync-delimited" {
			reply = append([]byte{0xff}, reply...)
		}

		return reply
	case "guest-ping":
		return success(struct{}{})
	case "guest-info":
		type entry struct {
			Name    string `json:"name"`
			Enabled bool   `json:"enabled"`
			Answers bool   `json:"success-response"`
		}

		var all []entry
		for _, name := range supported {
			all = append(all, entry{name, true, name != "guest-shutdown"})
		}

		return success(map[string]any{"version": "8.0.0", "supported_commands": all})
	case "guest-get-host-name":
		return success(map[string]string{"host-name": g.Hostname()})
	case "guest-get-time":
		return success(time.Now().UnixNano())
	case "guest-get-osinfo":
		return success(map[string]string{"id": "talos", "name": "Talos", "pretty-name": "Talos (" + g.Version + ")", "version-id": g.Version, "machine": "x86_64"})
	case "guest-network-get-interfaces":
		return success(interfaces())
	case "guest-shutdown":
		var arguments struct {
			Mode string `json:"mode"`
		}

		_ = json.Unmarshal(c.Arguments, &arguments) // powerdown then

		if arguments.Mode == "reboot" {
			g.Reboot()
		} else {
			g.PowerOff()
		}

		return nil
	default:
		return failure("CommandNotFound", "The command "+c.Execute+" has not been found")
	}
}

func success(value any) []byte { return encode(map[string]any{"return": value}) }

func failure(class, text string) []byte {
	return encode(map[string]any{"error": map[string]string{"class": class, "desc": text}})
}

func encode(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err) // plain data
	}

	return append(data, '\n')
}

type address struct {
	Type   string `json:"ip-address-type"`
	IP     string `json:"ip-address"`
	Prefix int    `json:"prefix"`
}

type link struct {
	Name      string    `json:"name"`
	Hardware  string    `json:"hardware-address,omitempty"`
	Addresses []address `json:"ip-addresses,omitempty"`
}

func interfaces() []link {
	all, _ := net.Interfaces() // none then
	found := []link{}

	for _, i := range all {
		l := link{Name: i.Name, Hardware: i.HardwareAddr.String()}
		addrs, _ := i.Addrs() // none then

		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}

			kind := "ipv4"
			if p.Addr().Is6() {
				kind = "ipv6"
			}

			l.Addresses = append(l.Addresses, address{kind, p.Addr().String(), p.Bits()})
		}

		found = append(found, l)
	}

	return found
}
