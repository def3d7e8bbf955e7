package api

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestArchiveHoldsWhatIsInAFolder(t *testing.T) {
	root := t.TempDir()
	for _, err := range []error{
		os.Mkdir(filepath.Join(root, "sub"), 0o755),
		os.WriteFile(filepath.Join(root, "sub", "file"), []byte("text"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}

	for path, want := range map[string][]string{root: {"sub", "sub/file"}, filepath.Join(root, "sub", "file"): {"file"}} {
		var archive bytes.Buffer

		writer := tar.NewWriter(&archive)
		if err := errors.Join(addTree(writer, path), writer.Close()); err != nil {
			t.Fatal(err)
		}

		var names []string

		for r := tar.NewReader(&archive); ; {
			header, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}

			if err != nil {
				t.Fatal(err)
			}

			names = append(names, header.Name)
		}

		if !slices.Equal(names, want) {
			t.Errorf("archive of %s holds %q, want %q", path, names, want)
		}
	}
}
