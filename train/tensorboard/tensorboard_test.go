package tensorboard

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
)

// boardScalars reads an event file back: every checksum, and each scalar by
// tag and step.
func boardScalars(t *testing.T, path string) (version string, scalars map[string]map[int64]float32) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	scalars = map[string]map[int64]float32{}
	for len(b) > 0 {
		n := binary.LittleEndian.Uint64(b)
		said := []uint32{binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12+n:])}
		if diff := cmp.Diff([]uint32{maskedCRC(b[:8]), maskedCRC(b[12 : 12+n])}, said); diff != "" {
			t.Fatalf("checksums of a record's length and data (-want +got):\n%s", diff)
		}
		var step int64
		fields(t, b[12:12+n], func(num protowire.Number, v uint64, body []byte) {
			switch num {
			case 2:
				step = int64(v)
			case 3:
				version = string(body)
			case 5:
				fields(t, body, func(_ protowire.Number, _ uint64, value []byte) {
					var tag string
					fields(t, value, func(num protowire.Number, v uint64, body []byte) {
						if num == 1 {
							tag = string(body)
							return
						}
						if scalars[tag] == nil {
							scalars[tag] = map[int64]float32{}
						}
						scalars[tag][step] = math.Float32frombits(uint32(v))
					})
				})
			}
		})
		b = b[16+n:]
	}
	return version, scalars
}

func fields(t *testing.T, b []byte, f func(num protowire.Number, v uint64, body []byte)) {
	t.Helper()
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		var v uint64
		var body []byte
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var w uint32
			w, n = protowire.ConsumeFixed32(b)
			v = uint64(w)
		case protowire.Fixed64Type:
			v, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			body, n = protowire.ConsumeBytes(b)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		f(num, v, body)
		b = b[n:]
	}
}

func TestScalarsReadBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tensorboard")
	w, err := Open(dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[int64]float32{"train/loss": {4: 1.5, 5: 0.25}, "val/top1": {5: 0.7}}
	at := time.Unix(1700000000, 0)
	for _, err := range []error{
		w.Scalars(at, 4, []Scalar{{"train/loss", 1.5}}),
		w.Scalars(at, 5, []Scalar{{"train/loss", 0.25}, {"val/top1", 0.7}}),
		w.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("event files %v, %v", files, err)
	}
	version, got := boardScalars(t, files[0])
	if version != "brain.Event:2" {
		t.Errorf("file version %q", version)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("scalars (-want +got):\n%s", diff)
	}
}

// The mask and polynomial of TFRecord: an empty record's framing, as every
// writer of the format makes it.
func TestMaskedCRC(t *testing.T) {
	if got := maskedCRC(make([]byte, 8)); got != 0x07980329 {
		t.Errorf("masked CRC of eight zero bytes is %#08x", got)
	}
}
