package onnx

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
)

// exported is a small model as Write writes it.
func exported(t testing.TB) []byte {
	t.Helper()
	n := modeltest.Network(t, "inception_v3", model.Options{Classes: 3, Width: 0.0625})
	var b bytes.Buffer
	if err := Write(&b, n, n.Init(1), spec(3)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestSumSeesDamage flips a bit here and there: the file is no model any more,
// or is found to be another.
func TestSumSeesDamage(t *testing.T) {
	raced.Skip(t, "one goroutine does it all")
	b := exported(t)
	if !bytes.Equal(b, exported(t)) {
		t.Error("the same network is written in other bytes the second time")
	}
	m, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.verify(); err != nil {
		t.Fatalf("as written: %v", err)
	}
	damaged, passed := 0, 0
	for i := 3; i < len(b); i += 2003 {
		b[i] ^= 1 << (i % 8)
		_, err := Parse(b)
		switch {
		case errors.Is(err, ErrDamaged):
			damaged++
		case err == nil:
			passed++
			t.Logf("byte %d passes", i)
		}
		b[i] ^= 1 << (i % 8)
	}
	if damaged < 100 || passed > 0 {
		t.Errorf("%d damages found, %d passed", damaged, passed)
	}
	for i := bytes.Index(b, []byte(announceKey)) - 6; i < len(b); i += 1 + i%2 { // the sum, and what announces it
		for bit := i % 2; bit < 8; bit += 2 {
			b[i] ^= 1 << bit
			if _, err := Parse(b); !errors.Is(err, ErrDamaged) {
				t.Errorf("bit %d of byte %d of %d flipped: %v", bit, i, len(b), err)
			}
			b[i] ^= 1 << bit
		}
	}
	if _, err := Parse(b[:len(b)-7]); !errors.Is(err, ErrDamaged) {
		t.Errorf("cut: %v", err)
	}
}

// TestSumOfOthers: a model without a sum, or of another producer, is not
// judged; one that is edited here carries a new sum.
func TestSumOfOthers(t *testing.T) {
	if err := holding().verify(); err != nil {
		t.Errorf("without a sum: %v", err)
	}
	m, err := Parse(exported(t))
	if err != nil {
		t.Fatal(err)
	}
	before := m.metadata()[sumKey]
	g, err := m.Graph()
	if err != nil {
		t.Fatal(err)
	}
	g.Nodes[len(g.Nodes)-1].Name = proto.String("another")
	edited := g.Model()
	if err := edited.verify(); err != nil || edited.metadata()[sumKey] == before {
		t.Errorf("edited: %v", err)
	}
	edited.pb.Graph.Name = proto.String("another")
	if err := edited.verify(); !errors.Is(err, ErrDamaged) {
		t.Errorf("changed: %v", err)
	}
	edited.pb.ProducerName = proto.String("somebody")
	if err := edited.verify(); err != nil {
		t.Errorf("of another producer: %v", err)
	}
}
