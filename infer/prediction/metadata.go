package prediction

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/parquet/file"

	"github.com/synshard/synshard/internal/durable"
)

// Text has no room for metadata: it lies beside the file, with the file's size.
type sidecar struct {
	Bytes    int64             `json:"bytes"`
	Metadata map[string]string `json:"metadata"`
}

func sidecarName(path string) string { return path + ".meta.json" }

// WriteSidecar writes what a text file cannot say, before the file has its
// name.
func WriteSidecar(path, format string, size int64, s *arrow.Schema) error {
	if format != "ndjson" && format != "csv" {
		return nil
	}
	return durable.WriteFile(sidecarName(path), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(sidecar{size, s.Metadata().ToMap()})
	})
}

// readMetadata gives what an output says of itself.
func ReadMetadata(path, format string) (said func(key string) string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrFormat, p)
		}
	}()
	switch format {
	case "ndjson", "csv":
		return readSidecar(path)
	case "parquet":
		r, err := file.OpenParquetFile(path, false)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		defer r.Close()
		kv := r.MetaData().KeyValueMetadata()
		return func(key string) string {
			if v := kv.FindValue(key); v != nil {
				return *v
			}
			return ""
		}, nil
	}
	var md arrow.Metadata
	keep := func(s *arrow.Schema) error { md = s.Metadata(); return nil }
	if format == "stream" {
		err = readStreamSchema(path, keep)
	} else {
		err = ReadFile(path, keep, nil)
	}
	return func(key string) string { v, _ := md.GetValue(key); return v }, err
}

func readStreamSchema(path string, keep func(*arrow.Schema) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := ipc.NewReader(f)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	defer r.Release()
	return keep(r.Schema())
}

func readSidecar(path string) (func(string) string, error) {
	b, err := os.ReadFile(sidecarName(path))
	if err != nil {
		return nil, err
	}
	var s sidecar
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", sidecarName(path), err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() != s.Bytes {
		return nil, fmt.Errorf("%s is of a file of %d bytes, not %d", sidecarName(path), s.Bytes, info.Size())
	}
	return func(key string) string { return s.Metadata[key] }, nil
}
