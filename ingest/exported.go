package ingest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/synshard/synshard/ingest/record"
	"github.com/synshard/synshard/shard"
)

// readExported reads what exports of a dataset among the sources keep of its
// classes and boxes, so that an export read again has those it came from. Of two
// that say different things of a class neither is taken.
func (p *Plan) readExported() error {
	p.exported = map[string]shard.Class{}
	differ := map[string]bool{}
	for _, s := range p.o.Sources {
		if s.Path == "-" {
			continue
		}
		classes, err := shard.ReadExportClasses(s.Path)
		if err != nil {
			return fmt.Errorf("%s: the class list of an export: %w", s.Path, err)
		}
		objects, err := shard.ReadExportObjects(s.Path)
		if err != nil {
			return fmt.Errorf("%s: the boxes of an export: %w", s.Path, err)
		}
		if p.objects == nil {
			p.objects = objects
		} else {
			maps.Copy(p.objects, objects)
		}
		for _, c := range classes {
			c.Label = -1 // it has none here yet
			if have, ok := p.exported[c.Synset]; ok && !reflect.DeepEqual(have, c) {
				differ[c.Synset] = true
			}
			p.exported[c.Synset] = c
		}
	}
	for name := range differ {
		delete(p.exported, name)
	}
	return nil
}

// exportedSum sums up what exports say of the classes; "" where they say
// nothing.
func (p *Plan) exportedSum() string {
	if len(p.exported) == 0 && len(p.objects) == 0 {
		return ""
	}
	b, err := json.Marshal(p.exported) // in order of the names
	if err != nil {
		panic(err) // of texts and numbers alone
	}
	if len(p.objects) > 0 {
		keys := slices.SortedFunc(maps.Keys(p.objects), func(a, b shard.ImageKey) int {
			return cmp.Or(bytes.Compare(a.SHA256[:], b.SHA256[:]), cmp.Compare(a.Path, b.Path))
		})
		for _, k := range keys {
			b = fmt.Appendf(b, "%x %q %v\n", k.SHA256, k.Path, p.objects[k])
		}
	}
	sum := record.Digest(sha256.Sum256(b))
	return sum.Hex()
}

// class describes a class: as an export that is read has it, or as the
// development kit and WordNet have it.
func (p *Plan) class(label int, name string) shard.Class {
	if c, ok := p.exported[name]; ok && p.kit == nil {
		c.Label = label
		return c
	}
	c := shard.Class{Label: label, Synset: name, ILSVRC2012ID: p.kit.ID(name)}
	c.Describe(p.o.WordNet)
	return c
}
