package nfs

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOptionsGoToWhoReadsThem(t *testing.T) {
	o, err := parseOptions([]string{"nfsvers=4.1", "hard,noatime", "retry=0", "ro", "rw"})
	if err != nil {
		t.Fatal(err)
	}

	if o.flags != unix.MS_NOATIME {
		t.Errorf("flags: %x", o.flags)
	}

	want := []string{"vers=4.1,hard,clientaddr=10.0.0.2,addr=10.0.0.1"}
	if got := o.attempts("10.0.0.1", "10.0.0.2"); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestWithoutAVersionTheNewestIsTriedFirst(t *testing.T) {
	o, err := parseOptions(nil)
	if err != nil {
		t.Fatal(err)
	}

	got := o.attempts("10.0.0.1", "10.0.0.2")
	if len(got) != 4 || got[0] != "vers=4.2,clientaddr=10.0.0.2,addr=10.0.0.1" || got[3] != "vers=3,mountaddr=10.0.0.1,addr=10.0.0.1" {
		t.Errorf("%q", got)
	}
}

func TestFailuresHaveTheWordsOfMountNFS(t *testing.T) {
	for number, want := range map[unix.Errno]string{
		unix.EACCES:       "mount.nfs: access denied by server while mounting s:/p",
		unix.ENOENT:       "mount.nfs: mounting s:/p failed, reason given by server: No such file or directory",
		unix.ECONNREFUSED: "mount.nfs: Connection refused",
		unix.ETIMEDOUT:    "mount.nfs: Connection timed out",
		unix.EHOSTUNREACH: "mount.nfs: No route to host",
	} {
		if got := explain(number, "s:/p").Error(); got != want {
			t.Errorf("%v: %s", number, got)
		}
	}
}

func TestARefusedConnectionIsToldAtOnce(t *testing.T) {
	err := Mount(t.Context(), "127.0.0.1", "/x", t.TempDir(), []string{"port=1"})
	if err == nil || err.Error() != "mount.nfs: Connection refused" {
		t.Errorf("%v", err)
	}
}
