package runlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
)

// A line ends in its sum: CRC-32C, as eight hexadecimal digits, of all of it that
// stands before sumMark. Logs were written without sums before there were these.
const (
	sumMark   = `,"crc32c":"`
	sumLength = len(sumMark) + len(`00000000"}`)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealed is v, an object, as a line with its sum.
func sealed(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return seal(b), nil
}

func seal(object []byte) []byte {
	body := object[:len(object)-1]
	sum := crc32.Checksum(body, castagnoli)
	return fmt.Appendf(body, `%s%08x"}`, sumMark, sum)
}

// unsealed is a line without its sum, where it ends in one, and whether that is right.
func unsealed(line []byte) (object []byte, summed, right bool) {
	n := len(line) - sumLength
	if n < 1 || !bytes.HasPrefix(line[n:], []byte(sumMark)) {
		return line, false, false
	}
	object = append(bytes.Clone(line[:n]), '}')
	return object, true, bytes.Equal(seal(bytes.Clone(object)), line)
}

// checker tells lines that are what was written from others, from a log's first line on.
type checker struct {
	summed bool // lines have sums from here on
}

// record is what a line says; nil where it is not what was written. From the first line
// with a sum on all have one, but for what was put in its place later, validations and
// losses: those have one in a log without.
func (k *checker) record(line []byte) *Record {
	_, summed, right := unsealed(line)
	var rec Record
	if summed && !right || json.Unmarshal(line, &rec) != nil {
		return nil
	}
	switch {
	case k.summed && !summed:
		return nil
	case summed && rec.Kind != "eval" && rec.Kind != "lost":
		k.summed = true
	}
	return &rec
}
