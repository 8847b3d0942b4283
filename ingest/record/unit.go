// Package record is what is remembered of a dataset that is being made: what
// decides its content, a record of each unit that is finished, and the bytes of
// images that were refused.
package record

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/synshard/synshard/shard"
)

// Unit names a unit: a run of images that are written together and recorded
// when they are whole. A unit is the images of a class, or one numbered piece
// of a flat split. Units do not depend on each other, which is what makes the
// work parallel and interruptions cheap.
type Unit struct {
	Split string // train, val or test
	Class string // "": it is a piece
	Piece int    // the number of a piece, which is its shard's
}

// String names the unit for people.
func (id Unit) String() string {
	if id.Class != "" {
		return id.Split + ": class " + id.Class
	}
	return fmt.Sprintf("%s: piece %d", id.Split, id.Piece)
}

// CompareUnits is the order of units: by split, class and piece.
func CompareUnits(a, b Unit) int {
	return cmp.Or(cmp.Compare(a.Split, b.Split), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Piece, b.Piece))
}

// ShardName names shard i of a unit, relative to the dataset's directory, with
// slashes. A piece is one shard.
func (id Unit) ShardName(i int) string {
	if id.Class != "" {
		return shard.ShardName(id.Split, id.Class, i)
	}
	return shard.ShardName(id.Split, "", id.Piece)
}

// Digest is a SHA-256.
type Digest [sha256.Size]byte

// Summer hashes what is known of images before they are read. It is for one
// goroutine.
type Summer struct {
	h   hash.Hash
	buf []byte
}

// NewSummer begins a sum of nothing.
func NewSummer() *Summer { return &Summer{h: sha256.New()} }

// Text adds a text, with its length.
func (s *Summer) Text(t string) {
	s.buf = binary.AppendUvarint(s.buf[:0], uint64(len(t)))
	s.h.Write(append(s.buf, t...))
}

// Number adds a number.
func (s *Summer) Number(n int64) { s.h.Write(binary.AppendVarint(s.buf[:0], n)) }

// Sum is that of all that was added.
func (s *Summer) Sum() Digest { return Digest(s.h.Sum(nil)) }
