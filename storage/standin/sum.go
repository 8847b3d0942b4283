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

// summed sums what is read, from the beginning on.
type summed struct {
	*io.SectionReader
	sum hash.Hash32
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.SectionReader.Read(p)
	s.sum.Write(p[:n])
	return n, err
}

// Seek goes to the beginning, to read once more.
func (s *summed) Seek(offset int64, whence int) (int64, error) {
	s.sum.Reset()
	return s.SectionReader.Seek(offset, whence)
}

// WriteTo is what io.Copy would take instead of Read.
func (s *summed) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{s})
}
