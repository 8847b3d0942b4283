package meeting

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// FuzzHello: whatever a connection says first is an error, or what one line of it says;
// nothing after that line is taken, and no more than a line may have is read. A host
// seats who fits, in its own place, and nobody else.
func FuzzHello(f *testing.F) {
	f.Add([]byte(`{"Rank":1,"Self":"x","About":"version 1"}` + "\nand more"))
	f.Add([]byte(`{"Rank":2}` + "\n"))
	f.Add([]byte(`{"rank":-9223372036854775808,"SELF":"\ud800"}` + "\n"))
	f.Add([]byte(strings.Repeat("[", helloLength+1)))
	f.Add([]byte("null\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		in := bytes.NewReader(said)
		h, err := readHello(iotest.OneByteReader(in))
		read := len(said) - in.Len()
		line, _, ended := bytes.Cut(said, []byte("\n"))
		if read > helloLength || ended && read > len(line)+1 {
			t.Errorf("%d bytes are read of a line of %d", read, len(line))
		}
		if !ended && err == nil {
			t.Errorf("a line without an end says %+v", h)
		}
		if err != nil {
			return
		}
		var want hello
		if err := json.Unmarshal(line, &want); err != nil {
			t.Fatalf("%q says %+v, and %v", line, h, err)
		}
		if diff := cmp.Diff(want, h); diff != "" {
			t.Errorf("(-JSON's +read):\n%s", diff)
		}
		host := &Host{place: Place{World: 3, About: "version 1"}, guests: make([]guest, 2)}
		err = host.seat(h, nil)
		if fits := h.Rank >= 1 && h.Rank < 3 && h.About == "version 1"; fits != (err == nil) {
			t.Errorf("%+v: %v", h, err)
		}
		for i, g := range host.guests {
			if sits := g.self != ""; sits && (err != nil || h.Rank != i+1) {
				t.Errorf("%+v sits at %d: %v", h, i, err)
			}
		}
	})
}
