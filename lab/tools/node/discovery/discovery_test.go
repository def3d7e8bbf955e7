package discovery

import (
	"net/netip"
	"testing"
)

func TestOnlyTheClusterUnderstands(t *testing.T) {
	var observed int

	mine, err := New("id", "secret", Affiliate{NodeID: "a"}, func(all []Affiliate) { observed = len(all) })
	if err != nil {
		t.Fatal(err)
	}

	same, _ := New("id", "secret", Affiliate{NodeID: "b", Hostname: "w1"}, nil) // as above
	other, _ := New("id", "another", Affiliate{NodeID: "c"}, nil)               // as above
	elsewhere, _ := New("no", "secret", Affiliate{NodeID: "d"}, nil)            // as above

	if _, ok := mine.unseal(other.seal(other.self)); ok {
		t.Error("understood with another secret")
	}

	if _, ok := mine.unseal(elsewhere.seal(elsewhere.self)); ok {
		t.Error("understood in another cluster")
	}

	a, ok := mine.unseal(same.seal(same.self))
	if !ok || a.Hostname != "w1" {
		t.Fatalf("%+v", a)
	}

	mine.hear(a)

	if observed != 2 {
		t.Errorf("%d machines", observed)
	}

	a.Gone = true
	mine.hear(a)

	if observed != 1 {
		t.Errorf("%d machines after a goodbye", observed)
	}
}

func TestBroadcastAddress(t *testing.T) {
	for prefix, want := range map[string]string{"10.213.77.70/24": "10.213.77.255", "10.0.1.2/23": "10.0.1.255"} {
		if got := lastAddress(netip.MustParsePrefix(prefix)); got.String() != want {
			t.Errorf("%s: %s", prefix, got)
		}
	}
}
