package prediction

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"strings"
	"testing"

	"github.com/synshard/synshard/infer/prediction/encode"
)

// TestPackedTwice: what is packed in what is packed, without end even, is refused at the first.
func TestPackedTwice(t *testing.T) {
	var once, twice bytes.Buffer
	for _, p := range []struct {
		to   *bytes.Buffer
		from []byte
	}{{&once, []byte("path,label\n")}, {&twice, nil}} {
		from := p.from
		if from == nil {
			from = once.Bytes()
		}
		w := gzip.NewWriter(p.to)
		if _, err := w.Write(from); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if f, err := sniff(bufio.NewReaderSize(bytes.NewReader(once.Bytes()), 1<<16)); err != nil || f != CSV.Packed(encode.Gzip) {
		t.Errorf("packed: %s, %v", f, err)
	}
	if _, err := sniff(bufio.NewReaderSize(bytes.NewReader(twice.Bytes()), 1<<16)); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "packed twice") {
		t.Errorf("packed twice: %v", err)
	}
}
