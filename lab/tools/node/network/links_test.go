package network

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
)

func TestGratuitousARPNamesTheAddressTwice(t *testing.T) {
	mac := net.HardwareAddr{0x52, 0x54, 0, 1, 2, 3}
	frame := arpFrame(mac, netip.MustParseAddr("10.213.77.60"), 1)

	if len(frame) != 42 || bytes.Count(frame, []byte{10, 213, 77, 60}) != 2 || !bytes.Equal(frame[6:12], mac) || !bytes.Equal(frame[22:28], mac) {
		t.Errorf("% x", frame)
	}
}
