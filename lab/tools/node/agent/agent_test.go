package agent

import (
	"strings"
	"testing"
)

func TestAnswers(t *testing.T) {
	off := false
	g := Guest{Hostname: func() string { return "cp1" }, Version: "v1.13.9", PowerOff: func() { off = true }, Reboot: func() {}}

	for line, want := range map[string]string{
		`{"execute":"guest-sync","arguments":{"id":1234567890123}}`:        `{"return":1234567890123}`,
		`{"execute":"guest-ping"}`:                                         `{"return":{}}`,
		`{"execute":"guest-get-host-name"}`:                                `{"return":{"host-name":"cp1"}}`,
		`{"execute":"guest-fsfreeze-freeze"}`:                              `"class":"CommandNotFound"`,
		"\xff" + `{"execute":"guest-sync-delimited","arguments":{"id":7}}`: "\xff" + `{"return":7}`,
		`{"execute":"guest-network-get-interfaces"}`:                       `"ip-address":"127.0.0.1"`,
		`{broken`: `"class":"GenericError"`,
	} {
		if got := string(g.answer([]byte(line))); !strings.Contains(got, want) {
			t.Errorf("%s: %s", line, got)
		}
	}

	if g.answer([]byte(`{"execute":"guest-shutdown"}`)) != nil || !off {
		t.Error("a shutdown has no answer, and happens")
	}
}
