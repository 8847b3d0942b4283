// Package tensorboard writes scalars to an event file that TensorBoard reads.
package tensorboard

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/synshard/synshard/internal/durable"
)

// Writer appends scalars to a TensorBoard event file: TFRecords, each an Event
// message (tensorflow/core/util/event.proto). It is for one goroutine at a time,
// and buffers nothing.
type Writer struct {
	f *os.File
}

// Open starts a new event file in dir, which is made if missing, for a run that
// stands at step. TensorBoard takes the steps of a later file over those of
// earlier ones when told of the restart, as it is here.
func Open(dir string, step int64) (*Writer, error) {
	if err := durable.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("tensorboard: %w", err)
	}
	now := time.Now()
	name := fmt.Sprintf("events.out.tfevents.%d.%09d.synshard", now.Unix(), now.Nanosecond())
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o666)
	if err != nil {
		return nil, fmt.Errorf("tensorboard: %w", err)
	}
	w := &Writer{f}
	version := event1(now, 0)
	version = protowire.AppendTag(version, 3, protowire.BytesType) // file_version
	version = protowire.AppendString(version, "brain.Event:2")
	start := event1(now, step)
	start = protowire.AppendTag(start, 7, protowire.BytesType) // session_log
	start = protowire.AppendBytes(start, protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1))
	for _, e := range [][]byte{version, start} {
		if err := w.record(e); err != nil {
			f.Close()
			return nil, err
		}
	}
	return w, nil
}

// Close closes the file.
func (w *Writer) Close() error { return w.f.Close() }

// Scalar is one value under a name; a slash in the name groups the charts.
type Scalar struct {
	Tag   string  // the name
	Value float64 // written as float32
}

// Scalars appends what was measured at a step.
func (w *Writer) Scalars(at time.Time, step int64, all []Scalar) error {
	var summary []byte
	for _, s := range all {
		var v []byte
		v = protowire.AppendTag(v, 1, protowire.BytesType) // tag
		v = protowire.AppendString(v, s.Tag)
		v = protowire.AppendTag(v, 2, protowire.Fixed32Type) // simple_value
		v = protowire.AppendFixed32(v, math.Float32bits(float32(s.Value)))
		summary = protowire.AppendTag(summary, 1, protowire.BytesType)
		summary = protowire.AppendBytes(summary, v)
	}
	e := event1(at, step)
	e = protowire.AppendTag(e, 5, protowire.BytesType) // summary
	return w.record(protowire.AppendBytes(e, summary))
}

// event1 begins an Event: wall time in seconds and step.
func event1(at time.Time, step int64) []byte {
	var e []byte
	e = protowire.AppendTag(e, 1, protowire.Fixed64Type)
	e = protowire.AppendFixed64(e, math.Float64bits(float64(at.UnixNano())/1e9))
	e = protowire.AppendTag(e, 2, protowire.VarintType)
	return protowire.AppendVarint(e, uint64(step))
}

// record frames one message: length, its masked CRC-32C, data, its masked
// CRC-32C (TFRecord).
func (w *Writer) record(data []byte) error {
	buf := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	buf = binary.LittleEndian.AppendUint32(buf, maskedCRC(buf))
	buf = append(buf, data...)
	buf = binary.LittleEndian.AppendUint32(buf, maskedCRC(data))
	if _, err := w.f.Write(buf); err != nil {
		return fmt.Errorf("tensorboard: %w", err)
	}
	return nil
}

func maskedCRC(b []byte) uint32 {
	c := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return (c>>15 | c<<17) + 0xa282ead8
}
