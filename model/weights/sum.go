package weights

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/synshard/synshard/model"
)

// SumKey is the metadata key of the sum that safetensors of ours carry: CRC-32C,
// in eight hexadecimal digits, of metadata, names, shapes and data, by name
// (train/checkpoint/FORMAT.md).
const SumKey = "synshard.crc32c"

// announceKey is the metadata key that says that there is a sum: of the two a flipped
// bit can hide only one.
const announceKey = "synshard.sum"

// StateKey is the metadata key of a training run's place, which checkpoints have; it
// announces a sum as well.
const StateKey = "synshard.train"

// ErrDamaged marks a file of ours that is not what was written.
var ErrDamaged = errors.New("damaged")

// Sum is the sum of a file that holds tensors and metadata, whatever its layout.
func Sum(tensors []model.Tensor, meta map[string]string) string {
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		if k != SumKey {
			fmt.Fprintf(sum, "%q=%q\n", k, meta[k])
		}
	}
	order := slices.Clone(tensors)
	slices.SortFunc(order, func(a, b model.Tensor) int { return strings.Compare(a.Name, b.Name) })
	for _, t := range order {
		fmt.Fprintf(sum, "%q %s %v\n", t.Name, t.DType, t.Shape)
		sum.Write(t.Data)
	}
	return fmt.Sprintf("%08x", sum.Sum32())
}

// WriteSummed is WriteSafetensors of a file that carries its sum.
func WriteSummed(w io.Writer, tensors []model.Tensor, meta map[string]string) error {
	meta = maps.Clone(meta)
	meta[announceKey] = SumKey
	meta[SumKey] = Sum(tensors, meta)
	return WriteSafetensors(w, tensors, meta)
}

// checkSum holds what was read to the sum that it carries. What carries none, as
// others' files do, passes.
func checkSum(tensors []model.Tensor, meta map[string]string) error {
	want, ok := meta[SumKey]
	if !ok && meta[announceKey] == "" && meta[StateKey] == "" {
		return nil
	}
	if got := Sum(tensors, meta); got != want {
		return fmt.Errorf("safetensors: %w: its sum is %s and %.16q was written; if another tool changed it on purpose, it has to drop the metadata entries %s and %s", ErrDamaged, got, want, SumKey, announceKey)
	}
	return nil
}

// markDamaged makes the error of a file that breaks its format ErrDamaged too where
// the file is one of ours.
func markDamaged(r io.ReaderAt, err error) error {
	if !errors.Is(err, model.ErrFormat) || errors.Is(err, ErrDamaged) {
		return err
	}
	head := make([]byte, 64<<10)
	n, rerr := r.ReadAt(head, 0)
	if rerr != nil && !errors.Is(rerr, io.EOF) || !bytes.Contains(head[:n], []byte(SumKey)) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}
