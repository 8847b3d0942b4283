package prediction

import (
	"maps"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// Keys of the output's schema metadata.
const (
	KeyFingerprint = "synshard.fingerprint"
	KeySpec        = "synshard.spec"
	KeyModel       = "synshard.model"
	KeyInput       = "synshard.input"
	KeyBackend     = "synshard.backend"
	KeyNote        = "synshard.note." // and a note's name
	KeyPart        = "synshard.part"  // i/n, of a part
	KeyWhole       = "synshard.whole" // of a part: the fingerprint of what it is a part of
	KeyChunk       = "synshard.chunk" // rows of a record batch
	KeyFailed      = "synshard.failed"
)

// Columns of every output. Others follow: probabilities, logits, embedding and
// what is derived.
const (
	ColPath = iota
	ColLabel
	ColSynset
	ColPredLabel
	ColPredSynset
	ColPredProb
	ColError
)

// with gives a schema whose metadata has other values for some keys; an empty
// one takes the key away.
func With(s *arrow.Schema, change map[string]string) *arrow.Schema {
	var keys, values []string
	md := s.Metadata()
	for i, k := range md.Keys() {
		if _, ok := change[k]; !ok {
			keys, values = append(keys, k), append(values, md.Values()[i])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(change)) {
		if change[k] != "" {
			keys, values = append(keys, k), append(values, change[k])
		}
	}
	changed := arrow.NewMetadata(keys, values)
	return arrow.NewSchema(s.Fields(), &changed)
}

// Derived is a further column, computed from a row's probabilities.
type Derived struct {
	Field arrow.Field // must be nullable
	Key   string      // says how it is computed, for the fingerprint
	// Append adds the value for probabilities [classes]; nil is an image that
	// failed, and wants a null.
	Append func(b array.Builder, probabilities []float32) error
}
