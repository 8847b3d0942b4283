package source

import "github.com/synshard/synshard/source/entry"

// header is a container that gives the beginning of an entry for less than all of it.
type header interface {
	Head(e *Entry, buf []byte) ([]byte, error)
}

// Head gives the first bytes of an entry, enough for ImageBytes. Its errors are those of Read.
func (s *Set) Head(e Entry) ([]byte, error) {
	c, err := s.of(&e)
	if err != nil {
		return nil, err
	}
	if h, ok := c.(header); ok && !e.Archive {
		return h.Head(&e, make([]byte, entry.HeadBytes))
	}
	b, err := s.Read(e, nil)
	return b[:min(len(b), entry.HeadBytes)], err
}
