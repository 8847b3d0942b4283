package source

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synshard/synshard/internal/filetest"
)

// TestFirstDamagedIsNamed: of archives that are opened at a time, and are damaged, the first is
// named, however much sooner the others are found out.
func TestFirstDamagedIsNamed(t *testing.T) {
	files := contents{}
	for i := range 2000 { // which take a while to list
		files[fmt.Sprintf("n1/%04d.jpg", i)] = "a"
	}
	whole := pack(t, files)
	dir := t.TempDir()
	for name, b := range map[string][]byte{"a.tar": whole, "b.tar": whole[:len(whole)-3*tarBlock-100], "c.tar": whole[:tarBlock+100-tarBlock/2], "d.tgz": filetest.Gzip(whole)[:100]} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		if _, _, err := openTest(t, Options{}, dir); err == nil || !strings.Contains(err.Error(), "b.tar") {
			t.Fatalf("%v, want b.tar's", err)
		}
	}
}
