package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"

	"github.com/synshard/synshard/ingest/record"
	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/shard"
)

// Images that are in the dataset, or in units that an earlier call finished, are
// compared with their source where names and sizes cannot tell whether that is
// the same: the file was touched, or it is a pipe. All of them are read again.

// comparison is what a source should give. It is for many goroutines.
type comparison struct {
	mu        sync.Mutex
	left      map[imageKey]int // images that were not met
	different []string
}

// imageKey is what is the same of an image when it is read again.
type imageKey struct {
	path, synset string
	sum          record.Digest
}

func newComparison(rows []shard.Row, rejected []shard.Rejection) *comparison {
	c := &comparison{left: map[imageKey]int{}}
	for i := range rows {
		c.left[imageKey{rows[i].Path, rows[i].Synset, rows[i].SHA256}]++
	}
	for i := range rejected {
		c.expectRejected(&rejected[i])
	}
	return c
}

// expectRejected notes an image that was refused: its sum is that of the source.
func (c *comparison) expectRejected(r *shard.Rejection) {
	k := imageKey{path: r.Path, synset: r.Synset}
	hex.Decode(k.sum[:], []byte(r.SHA256)) // none where its bytes could not be had
	c.left[k]++
}

// met says whether an image is expected.
func (c *comparison) met(k imageKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left[k] == 0 {
		return false
	}
	c.left[k]--
	return true
}

func (c *comparison) differs(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.different = append(c.different, what)
}

// result is a *DifferError if something differed. place says where.
func (c *comparison) result(j *job, place string) error {
	for k, n := range c.left {
		if n > 0 {
			c.different = append(c.different, k.path+" is gone")
		}
	}
	if len(c.different) == 0 {
		return nil
	}
	slices.Sort(c.different)
	return &DifferError{Out: j.o.Out.String(), Unfinished: j.have == nil, Differences: []string{place + ": " + record.Some(slices.Compact(c.different))}}
}

// compareUnit reads a unit and compares its images.
func (j *job) compareUnit(ctx context.Context, u *unit, c *comparison) error {
	m := j.newConverter(u)
	defer m.close()
	return u.each(ctx, j, func(it item) error {
		defer j.o.OnRead(int64(len(it.bytes)), 1)
		key := imageKey{path: utf8name.Ensure(it.path)}
		if it.bytes != nil {
			key.sum = sha256.Sum256(it.bytes)
		}
		if it.class >= 0 {
			key.synset = j.classes[j.labels[it.class]].Synset
		}
		if c.met(key) {
			return nil
		}
		if j.o.Resize > 0 { // what is stored is not what was read
			if im, reason := m.image(it); reason == nil {
				key.sum = im.SHA256
				if c.met(key) {
					return nil
				}
			}
		}
		c.differs(it.path + " is new or has other bytes")
		return nil
	})
}

// reread compares touched sources with the dataset, and gives the manifest their
// new times.
func (j *job) reread(ctx context.Context, found *standing) error {
	j.have = found.manifest
	j.number(found.names(), found.classes)
	print := found.print
	for _, split := range found.touched {
		now := j.plan.print.Splits[split][0]
		prints := slices.Clone(print.Splits[split])
		i := max(0, slices.IndexFunc(prints, func(w record.SplitPrint) bool { return w.Entries == now.Entries }))
		var only map[string]bool // the classes that are this source's
		if len(prints) > 1 {
			only = j.plan.trainClasses()
		}
		if err := j.compareSplit(ctx, split, only); err != nil {
			return err
		}
		if now.Entries != "" {
			prints[i].Entries, prints[i].Times = now.Entries, now.Times
		}
		print.Splits[split] = prints
	}
	found.manifest.Options = print.Encode()
	return j.plan.set.unchanged()
}

// compareSplit wants the plan's images of a split to be the dataset's, those of
// some classes only where only is not nil.
func (j *job) compareSplit(ctx context.Context, split string, only map[string]bool) error {
	want := newComparison(nil, nil)
	set, err := open(j.o.Out)
	if err != nil {
		return err
	}
	defer set.Close()
	s, err := set.Split(split)
	if err != nil {
		return err
	}
	for i := range s.Len() {
		if r := s.Row(i); only == nil || only[r.Synset] {
			want.left[imageKey{r.Path, r.Synset, r.SHA256}]++
		}
	}
	rejected, err := shard.ReadRejected(j.o.Out, set.Manifest.RejectedSHA256)
	if err != nil {
		return err
	}
	for i := range rejected {
		if r := &rejected[i]; r.Split == split && (only == nil || only[r.Synset]) {
			want.expectRejected(r)
		}
	}
	var units []unit
	for _, u := range j.plan.units {
		if u.Split == split && (only == nil || only[u.Class]) {
			units = append(units, u)
		}
	}
	compare := func(u *unit) func(context.Context) error {
		return func(ctx context.Context) error { return j.compareUnit(ctx, u, want) }
	}
	for _, from := range j.sources(units, []string{split}) {
		if err := j.processOf(ctx, from, compare); err != nil {
			return err
		}
	}
	return want.result(j, split)
}

// explain says in what the listed images of a split differ from the dataset's,
// by its index and its list of refused images.
func (p *Plan) explain(set *shard.Dataset, split string, prints []record.SplitPrint) ([]string, error) {
	was, err := p.sizes(set, split)
	if err != nil {
		return nil, err
	}
	var resized []string
	fresh := map[string][]string{} // path: classes
	listed := true
	p.eachListed(split, func(path, class string, size int64, archive bool) {
		k := imageOf{utf8name.Ensure(path), class}
		old, ok := was[k]
		switch {
		case archive:
			listed = false
		case !ok:
			fresh[k.path] = append(fresh[k.path], class)
		case size >= 0 && size != old && p.o.Resize == 0:
			resized = append(resized, k.path)
		}
		if !archive {
			delete(was, k)
		}
	})
	if !listed {
		return []string{p.sourceChange(prints, split)}, nil
	}
	var other, gone, added []string
	for k := range was {
		if now := fresh[k.path]; len(now) > 0 {
			other = append(other, k.path+" was "+orNone(k.synset)+" and is "+orNone(now[0]))
			if fresh[k.path] = now[1:]; len(now) == 1 {
				delete(fresh, k.path)
			}
		} else {
			gone = append(gone, k.path)
		}
	}
	for path := range fresh {
		added = append(added, path)
	}
	var out []string
	say := func(list []string, what string) {
		if len(list) > 0 {
			slices.Sort(list)
			out = append(out, split+": "+fmt.Sprint(len(list))+" "+what+": "+record.Some(list))
		}
	}
	say(other, "of another class")
	say(added, "new")
	say(gone, "gone")
	say(resized, "of another size")
	if len(out) == 0 {
		out = []string{p.sourceChange(prints, split)}
	}
	return out, nil
}

// imageOf names an image of a split: its path, and its class or "".
type imageOf struct{ path, synset string }

// sizes gives the bytes of every image that a split of a dataset was made from,
// those refused too.
func (p *Plan) sizes(set *shard.Dataset, split string) (map[imageOf]int64, error) {
	s, err := set.Split(split)
	if err != nil {
		return nil, err
	}
	out := map[imageOf]int64{}
	for i := range s.Len() {
		r := s.Row(i)
		out[imageOf{r.Path, r.Synset}] = r.Length
	}
	rejected, err := shard.ReadRejected(p.o.Out, set.Manifest.RejectedSHA256)
	if err != nil {
		return nil, err
	}
	for _, r := range rejected {
		if r.Split == split {
			out[imageOf{r.Path, r.Synset}] = r.Bytes
		}
	}
	return out, nil
}

func orNone(class string) string {
	if class == "" {
		return "without one"
	}
	return class
}

// eachListed calls f with what is listed of a split, and the archives that stand
// for what is not.
func (p *Plan) eachListed(split string, f func(path, class string, size int64, archive bool)) {
	for i := range p.names.Splits {
		if s := &p.names.Splits[i]; s.Name == split {
			for k := range s.Images {
				im := &s.Images[k]
				f(im.Path, p.className(im.Class), im.Size, im.Archive)
			}
		}
	}
}

// sourceChange says that the sources of a split are others than those that it
// was made from.
func (p *Plan) sourceChange(was []record.SplitPrint, split string) string {
	return fmt.Sprintf("%s: names, classes or sizes of its images differ (source was %s and is now %s)", split, sourceOf(was), p.print.Splits[split][0].Source)
}
