package standin

import (
	"hash"
	"hash/crc32"
	"io"

	"github.com/synshard/synshard/internal/regular"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func newSum() hash.Hash32 { return crc32.New(castagnoli) }

// sumOf is that of a file.
func sumOf(path string) (uint32, error) {
	f, _, err := regular.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	sum := newSum()
	_, err = io.Copy(sum, f)
	return sum.Sum32(), err
}
