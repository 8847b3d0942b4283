package tarfile

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"github.com/synshard/synshard/internal/filetest"
)

// TestMembers: members are read as one, and zeros behind them as padding; all else there is damage.
func TestMembers(t *testing.T) {
	one, two := string(filetest.Gzip([]byte("one"))), string(filetest.Gzip([]byte("two")))
	zeros := strings.Repeat("\x00", 100_000)
	for text, want := range map[string]bool{
		one + two: true, one + two + zeros: true, one + two + "\x00": true,
		one + two + "\x01": false, one + two + zeros + "\x01": false, one + two + zeros + two: false, one + two + two[:9]: false, one + two[:len(two)-1]: false,
	} {
		z, err := newMembers(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(z)
		if (err == nil) != want || want && string(b) != "onetwo" {
			t.Errorf("%d bytes: %q, %v", len(text), b, err)
		}
	}
}
