package encode

// Format is a form of output.
type Format string

// The formats.
const (
	Arrow   Format = "arrow"   // an Arrow IPC file, which can also be read as a stream
	Stream  Format = "stream"  // an Arrow IPC stream
	Parquet Format = "parquet" // packed by zstd
	NDJSON  Format = "ndjson"  // a JSON object a line
	CSV     Format = "csv"     // with a head
)

// Formats are the names of all formats.
var Formats = []string{string(Arrow), string(Stream), string(Parquet), string(NDJSON), string(CSV)}

// Text says whether a format is text, which has no room for metadata.
func (f Format) Text() bool { return f == NDJSON || f == CSV }
