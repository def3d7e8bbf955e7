package slots_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"talosmith.dev/lab/tools/node/slots"
)

func TestInstallActivateFallBack(t *testing.T) {
	e := slots.ESP{Root: t.TempDir()}
	active := filepath.Join(e.Root, "EFI", "BOOT", "BOOTX64.EFI")

	if err := errors.Join(os.MkdirAll(filepath.Dir(active), 0o755), os.WriteFile(active, []byte("one"), 0o644), e.Adopt("v1")); err != nil {
		t.Fatal(err)
	}

	fill := func(text string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, text); return err }
	}

	if err := errors.Join(e.Install("v2", "v1", fill("two")), e.Activate("v2")); err != nil {
		t.Fatal(err)
	}

	if now, _ := os.ReadFile(active); string(now) != "two" {
		t.Errorf("active: %s", now)
	}

	if err := e.Install("v3", "v2", func(io.Writer) error { return errors.New("cut off") }); err == nil {
		t.Error("a download that was cut off was installed")
	}

	if err := errors.Join(e.Install("v3", "v2", fill("three")), e.Activate("v3"), e.Activate("v2")); err != nil {
		t.Fatal(err)
	}

	if got := e.Installed(); !slices.Equal(got, []string{"v2", "v3"}) {
		t.Errorf("installed: %v", got)
	}

	if err := e.Activate("v1"); err == nil {
		t.Error("a version that is gone was activated")
	}
}
