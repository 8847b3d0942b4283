// Package imagenet reads what belongs to ImageNet's own releases and to no
// layout: the development kit of ILSVRC2012, the bounding boxes, and the
// solutions of Kaggle's copy of the challenge.
package imagenet

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
)

// Kit is what ingest needs of ILSVRC2012's development kit.
type Kit struct {
	Synsets []Synset
	Truth   []int // ILSVRC2012_ID of validation image i+1; empty where the kit has no ground truth

	synsetOf map[int]string   // by ILSVRC2012_ID
	idOf     map[string]int32 // by synset
}

// Names of the kit's files, wherever in it they lie.
const (
	MetaName  = "meta.mat"
	TruthName = "ILSVRC2012_validation_ground_truth.txt"
)

// maxFile bounds what is read of one file of a kit or of annotations.
const maxFile = 64 << 20

// ReadKit reads the development kit, a tar or a tar.gz.
func ReadKit(file string) (*Kit, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := unzipped(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	found := map[string][]byte{}
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: read the development kit: %w", file, truncated(err))
		}
		name := path.Base(h.Name)
		if name != MetaName && name != TruthName {
			continue
		}
		b, err := io.ReadAll(io.LimitReader(t, maxFile))
		if err != nil {
			return nil, fmt.Errorf("%s: member %s: %w", file, h.Name, truncated(err))
		}
		found[name] = b
	}
	if found[MetaName] == nil {
		return nil, fmt.Errorf("%s: not ILSVRC2012's development kit: no %s in it", file, MetaName)
	}
	k, err := NewKit(found[MetaName], found[TruthName])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return k, nil
}

// NewKit makes a kit from the bytes of meta.mat and of the ground truth, which
// may be nil.
func NewKit(meta, truth []byte) (*Kit, error) {
	k := &Kit{synsetOf: map[int]string{}, idOf: map[string]int32{}}
	var err error
	if k.Synsets, err = ReadMeta(meta); err != nil {
		return nil, fmt.Errorf("member %s: %w", MetaName, err)
	}
	if k.Truth, err = parseTruth(truth); err != nil {
		return nil, fmt.Errorf("member %s: %w", TruthName, err)
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

// unzipped undoes gzip where the first bytes say so.
func unzipped(r io.Reader) (io.Reader, error) {
	br := bufio.NewReaderSize(r, 1<<20)
	if head, _ := br.Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		return gzip.NewReader(br)
	}
	return br, nil
}

// truncated names an early end for what it is.
func truncated(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("the archive is truncated: %w", err)
	}
	return err
}
