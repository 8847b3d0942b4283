package ingest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
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
	Truth   []int // ILSVRC2012_ID of validation image i+1

	synsetOf map[int]string   // by ILSVRC2012_ID
	idOf     map[string]int32 // by synset
}

// names of the kit's files, wherever in it they lie.
const (
	metaName  = "meta.mat"
	truthName = "ILSVRC2012_validation_ground_truth.txt"
)

// maxKitFile bounds what is read of a file of the kit.
const maxKitFile = 64 << 20

// ReadKit reads the development kit, a tar or a tar.gz.
func ReadKit(file string) (*Kit, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	br := bufio.NewReader(f)
	var r io.Reader = br
	if head, err := br.Peek(2); err == nil && bytes.Equal(head, []byte{0x1f, 0x8b}) {
		if r, err = gzip.NewReader(br); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	found := map[string][]byte{}
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: read the development kit: %w", file, unexpected(err))
		}
		name := path.Base(h.Name)
		if name != metaName && name != truthName {
			continue
		}
		b, err := io.ReadAll(io.LimitReader(t, maxKitFile))
		if err != nil {
			return nil, fmt.Errorf("%s: member %s: %w", file, h.Name, unexpected(err))
		}
		found[name] = b
	}
	if found[metaName] == nil {
		return nil, fmt.Errorf("%s: not ILSVRC2012's development kit: no %s in it", file, metaName)
	}
	k := &Kit{}
	if k.Synsets, err = ReadMeta(found[metaName]); err != nil {
		return nil, fmt.Errorf("%s: member %s: %w", file, metaName, err)
	}
	if k.Truth, err = parseTruth(found[truthName]); err != nil {
		return nil, fmt.Errorf("%s: member %s: %w", file, truthName, err)
	}
	k.synsetOf, k.idOf = map[int]string{}, map[string]int32{}
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

// classes lists the synsets that are classes: those without children.
func (k *Kit) classes() []string {
	var out []string
	for _, s := range k.Synsets {
		if s.NumChildren == 0 {
			out = append(out, s.WNID)
		}
	}
	return out
}

// truth gives the synset of a validation image, by the number in its name:
// ILSVRC2012_val_00000001.JPEG is the first line of the ground truth.
func (k *Kit) truth(name string) (string, error) {
	stem := strings.TrimSuffix(path.Base(name), path.Ext(name))
	i := strings.LastIndexByte(stem, '_')
	n, err := strconv.Atoi(stem[i+1:])
	if err != nil || n < 1 {
		return "", fmt.Errorf("no number in the name, so no line of the ground truth is its own")
	}
	if n > len(k.Truth) {
		return "", fmt.Errorf("image %d, and the ground truth has %d lines", n, len(k.Truth))
	}
	synset, ok := k.synsetOf[k.Truth[n-1]]
	if !ok {
		return "", fmt.Errorf("ILSVRC2012_ID %d is not in %s", k.Truth[n-1], metaName)
	}
	return synset, nil
}

// unexpected names an early end for what it is.
func unexpected(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("the archive is truncated: %w", err)
	}
	return err
}
