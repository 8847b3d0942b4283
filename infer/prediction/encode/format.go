package encode

import (
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Format is a form of output: one of those below, and of the text ones packed, too, as in
// csv.gz and ndjson.zst.
type Format string

// The formats.
const (
	Arrow   Format = "arrow"   // an Arrow IPC file, which can also be read as a stream
	Stream  Format = "stream"  // an Arrow IPC stream
	Parquet Format = "parquet" // packed by zstd
	NDJSON  Format = "ndjson"  // a JSON object a line
	CSV     Format = "csv"     // with a head
	TSV     Format = "tsv"     // likewise, with tabs
)

// Formats are the names of all formats, as they are unpacked.
var Formats = []string{string(Arrow), string(Stream), string(Parquet), string(NDJSON), string(CSV), string(TSV)}

// The ways in which text is packed.
const (
	Gzip = "gz"
	Zstd = "zst"
)

// Plain is the format of what is packed; of others it is the same.
func (f Format) Plain() Format {
	name, _, _ := strings.Cut(string(f), ".")
	return Format(name)
}

// Packing is how a format is packed: Gzip, Zstd or "".
func (f Format) Packing() string {
	_, packing, _ := strings.Cut(string(f), ".")
	return packing
}

// Packed is a format packed; "" is as it is.
func (f Format) Packed(packing string) Format {
	if packing == "" {
		return f
	}
	return f.Plain() + Format("."+packing)
}

// Text says whether a format is text, packed or not, which has no room for metadata.
func (f Format) Text() bool { p := f.Plain(); return p == NDJSON || p == CSV || p == TSV }

// pack begins to pack what is written to w. The same bytes become the same bytes.
func (f Format) pack(w io.Writer) (io.WriteCloser, error) {
	switch f.Packing() {
	case Gzip:
		return gzip.NewWriter(w), nil // no name and no time
	case Zstd:
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	}
	return nil, fmt.Errorf("packing %q: want %s or %s", f.Packing(), Gzip, Zstd)
}

// Unpack reads what a format packed; what is not packed stays as it is. Close lets go of
// what it holds, but not of r.
func (f Format) Unpack(r io.Reader) (io.ReadCloser, error) {
	switch f.Packing() {
	case "":
		return io.NopCloser(r), nil
	case Gzip:
		return gzip.NewReader(r)
	}
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return z.IOReadCloser(), nil
}

// packedEncoder closes what packs after what is packed.
type packedEncoder struct {
	Encoder
	z io.WriteCloser
}

func (e *packedEncoder) Close() error {
	if err := e.Encoder.Close(); err != nil {
		return err
	}
	return e.z.Close()
}
