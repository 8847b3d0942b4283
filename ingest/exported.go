package ingest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/synshard/synshard/ingest/record"
	"github.com/synshard/synshard/shard"
)

// readExported reads what exports of a dataset among the sources keep of its
// classes, so that an export read again has the class list it came from. Of two
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
	if len(p.exported) == 0 {
		return ""
	}
	b, err := json.Marshal(p.exported) // in order of the names
	if err != nil {
		panic(err) // of texts and numbers alone
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
