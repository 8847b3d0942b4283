// Package wordnet reads the noun graph of WordNet 3.0, whose synsets are the
// classes of ImageNet, and walks it.
//
// The graph has a node for each noun synset and an edge for each hypernym
// ("a dog is a canine") and instance hypernym ("Fido is a dog") pointer. It is a
// directed acyclic graph and not a tree: a dog is both a canine and a domestic
// animal. Walks treat both kinds of edge alike, as NLTK and ImageNet do.
//
// The file formats are those of the manual pages wndb(5WN) and morphy(7WN).
package wordnet

import (
	"errors"
	"fmt"
)

// ErrNotFound says that an id or a word is not in the graph.
var ErrNotFound = errors.New("not in WordNet's nouns")

// ID names a synset: the offset of its line in data.noun of WordNet 3.0, below
// 10^8. ImageNet writes it as n and eight digits and calls it a wnid.
type ID uint32

const maxID = 99_999_999

// String gives the id as ImageNet writes it: "n02084071".
func (id ID) String() string {
	b, _ := id.AppendText(make([]byte, 0, 9))
	return string(b)
}

// AppendText appends what String returns.
func (id ID) AppendText(b []byte) ([]byte, error) {
	if id > maxID {
		return fmt.Appendf(b, "n%d", uint32(id)), nil
	}
	b = append(b, 'n')
	for div := ID(10_000_000); div > 0; div /= 10 {
		b = append(b, '0'+byte(id/div%10))
	}
	return b, nil
}

// MarshalText makes an ID a string in JSON.
func (id ID) MarshalText() ([]byte, error) { return id.AppendText(nil) }

// UnmarshalText reads what ParseID reads.
func (id *ID) UnmarshalText(b []byte) error {
	v, err := ParseID(string(b))
	if err == nil {
		*id = v
	}
	return err
}

// ParseID reads an id as ImageNet writes it: n and exactly eight digits. It
// does not ask whether there is such a synset.
func ParseID(s string) (ID, error) {
	if len(s) == 9 && s[0] == 'n' {
		if v, ok := digits8(s[1:]); ok {
			return ID(v), nil
		}
	}
	return 0, fmt.Errorf("synset id %q: want n and eight digits, as n02084071", s)
}

// digits8 reads eight decimal digits.
func digits8(s string) (uint32, bool) {
	if len(s) != 8 {
		return 0, false
	}
	var v uint32
	for i := range 8 {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		v = v*10 + uint32(d)
	}
	return v, true
}
