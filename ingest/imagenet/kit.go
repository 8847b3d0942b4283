// Package imagenet reads what belongs to ImageNet's own releases and to no
// layout: the development kit of ILSVRC2012, the bounding boxes, and the
// solutions of Kaggle's copy of the challenge.
package imagenet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/synshard/synshard/source"
)

// Kit is what ingest needs of ILSVRC2012's development kit.
type Kit struct {
	Synsets []Synset // as meta.mat has them: classes and inner nodes
	Truth   []int    // ILSVRC2012_ID of validation image i+1; empty where the kit has no ground truth

	synsetOf map[int]string   // by ILSVRC2012_ID
	idOf     map[string]int32 // by synset
}

// Names of the kit's files, wherever in it they lie.
const (
	MetaName  = "meta.mat"
	truthName = "ILSVRC2012_validation_ground_truth.txt"
)

// maxFile bounds what is read of one file of a kit or of annotations.
const maxFile = 256 << 20

// ReadKit reads the development kit: a tar, compressed or not, a zip, or the
// folder that it was extracted to.
func ReadKit(ctx context.Context, from string) (*Kit, error) {
	found := map[string][]byte{}
	err := eachFile(ctx, from, func(name string) bool { return path.Base(name) == MetaName || path.Base(name) == truthName },
		func(name string, b []byte) error {
			found[path.Base(name)] = bytes.Clone(b)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("read the development kit: %w", err)
	}
	if found[MetaName] == nil {
		return nil, fmt.Errorf("%s: not ILSVRC2012's development kit: no %s in it", from, MetaName)
	}
	k, err := newKit(found[MetaName], found[truthName])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return k, nil
}

// eachFile reads the files of a container whose names are wanted.
func eachFile(ctx context.Context, from string, want func(name string) bool, f func(name string, b []byte) error) (err error) {
	// Links may lead anywhere: of what is read here figures enter a dataset, and no files.
	set, err := source.Open(ctx, []string{from}, source.Options{FollowLinks: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	for i, info := range set.Infos() {
		if !info.Sequential {
			continue
		}
		err := set.Walk(ctx, i, func(e source.Entry, r io.Reader) error {
			if !want(e.Name) {
				return nil
			}
			if e.Size > maxFile {
				return tooLarge(from, e)
			}
			b := make([]byte, e.Size)
			if _, err := io.ReadFull(r, b); err != nil {
				return err
			}
			return f(e.Name, b)
		})
		if err != nil {
			return err
		}
	}
	var wanted []source.Entry
	for _, e := range set.Entries() {
		if e.Archive || want(e.Name) {
			wanted = append(wanted, e)
		}
	}
	return set.Each(ctx, wanted, func(e source.Entry, b []byte, err error) error {
		switch {
		case !want(e.Name):
			return nil
		case err != nil:
			return err
		case len(b) > maxFile:
			return tooLarge(from, e)
		}
		return f(e.Name, b)
	})
}

func tooLarge(from string, e source.Entry) error {
	return fmt.Errorf("%s: %s: more than %d bytes", from, e.Name, maxFile)
}

// newKit makes a kit from the bytes of meta.mat and of the ground truth, which
// may be nil.
func newKit(meta, truth []byte) (*Kit, error) {
	k := &Kit{synsetOf: map[int]string{}, idOf: map[string]int32{}}
	var err error
	if k.Synsets, err = readMeta(meta); err != nil {
		return nil, fmt.Errorf("member %s: %w", MetaName, err)
	}
	if k.Truth, err = parseTruth(truth); err != nil {
		return nil, fmt.Errorf("member %s: %w", truthName, err)
	}
	for _, s := range k.Synsets {
		k.synsetOf[s.ID], k.idOf[s.WNID] = s.WNID, int32(s.ID)
	}
	return k, nil
}

// parseTruth reads an id a line.
func parseTruth(b []byte) ([]int, error) {
	var ids []int
	for i, line := range strings.Fields(string(b)) {
		id, err := strconv.Atoi(line)
		if err != nil || id < 1 {
			return nil, fmt.Errorf("entry %d is %q, not an ILSVRC2012_ID", i+1, line)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// Classes lists the synsets that are classes: those without children.
func (k *Kit) Classes() []string {
	var out []string
	for _, s := range k.Synsets {
		if s.NumChildren == 0 {
			out = append(out, s.WNID)
		}
	}
	return out
}

// ID is the ILSVRC2012_ID of a synset, 0 where the kit has none.
func (k *Kit) ID(synset string) int32 {
	if k == nil {
		return 0
	}
	return k.idOf[synset]
}

// Synset is the synset of a validation image, by the number in its name:
// ILSVRC2012_val_00000001.JPEG is the first line of the ground truth.
func (k *Kit) Synset(name string) (string, error) {
	s := Stem(name)
	n, err := strconv.Atoi(s[strings.LastIndexByte(s, '_')+1:])
	if err != nil || n < 1 {
		return "", errors.New("no number in the image's name that says which line of the ground truth is its own")
	}
	if n > len(k.Truth) {
		return "", fmt.Errorf("image number %d has no line in the ground truth, which has %d", n, len(k.Truth))
	}
	synset, ok := k.synsetOf[k.Truth[n-1]]
	if !ok {
		return "", fmt.Errorf("ILSVRC2012_ID %d is not in %s", k.Truth[n-1], MetaName)
	}
	return synset, nil
}

// Sum is a SHA-256 of all that the kit says of labels: synsets, their ids and
// the ground truth.
func (k *Kit) Sum() [32]byte {
	h := sha256.New()
	for _, s := range k.Synsets {
		fmt.Fprintf(h, "%d %q %d\n", s.ID, s.WNID, s.NumChildren)
	}
	fmt.Fprintln(h, k.Truth)
	return [32]byte(h.Sum(nil))
}

// Stem is a file's name without directories and extension, by which labels and
// boxes belong to images.
func Stem(name string) string {
	base := path.Base(name)
	return strings.TrimSuffix(base, path.Ext(base))
}
