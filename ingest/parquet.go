package ingest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/synshard/synshard/internal/parquet"
)

// parquetGroups makes pieces of Hugging Face's Parquet files, in their order:
// image struct<bytes, path> and label, an integer that is a place in the
// ClassLabel's names, or in names where the file has none that are classes.
// A row group is read at a time.
func (j *job) parquetGroups(paths, names []string) ([]group, error) {
	var groups []group
	for number, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			return nil, err
		}
		j.files = append(j.files, f)
		have, counts, err := parquetHead(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		classes := names
		if len(classes) == 0 {
			classes = have
		}
		for from := 0; from < len(counts); {
			to, size := from, int64(0)
			for to < len(counts) && (to == from || size+counts[to] <= j.o.ShardBytes) {
				size += counts[to]
				to++
			}
			first, last := from, to
			groups = append(groups, group{split: j.o.Split, name: fmt.Sprintf("piece-%05d", len(groups)), from: p, bytes: size, classes: classes,
				each: func(ctx context.Context, emit func(item) error) error {
					for i := first; i < last; i++ {
						if err := parquetRows(ctx, f, i, fmt.Sprintf("row-%05d-%05d", number, i), classes, emit); err != nil {
							return fmt.Errorf("%s: row group %d: %w", p, i, err)
						}
					}
					return nil
				}})
			from = to
		}
	}
	return groups, nil
}

// openParquet opens a file for one reader.
func openParquet(f *os.File) (*parquet.File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return parquet.Open(f, info.Size())
}

// parquetHead reads the names of the labels and the bytes of each row group.
func parquetHead(f *os.File) (names []string, sizes []int64, err error) {
	p, err := openParquet(f)
	if err != nil {
		return nil, nil, err
	}
	for g := range p.Groups() {
		sizes = append(sizes, p.GroupBytes(g))
	}
	text, _ := p.Metadata("huggingface")
	names, err = featureNames(text)
	return names, sizes, err
}

// featureNames finds the names of the labels in Hugging Face's metadata.
func featureNames(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	var v struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, fmt.Errorf("metadata huggingface: %w", err)
	}
	var label struct {
		Names []string `json:"names"`
	}
	if raw := v.Info.Features["label"]; raw != nil {
		if err := json.Unmarshal(raw, &label); err != nil {
			return nil, fmt.Errorf("metadata huggingface: label: %w", err)
		}
	}
	return label.Names, nil
}

// parquetRows emits the images of one row group. An image without a path is
// called after its place.
func parquetRows(ctx context.Context, f *os.File, group int, prefix string, names []string, emit func(item) error) error {
	p, err := openParquet(f)
	if err != nil {
		return err
	}
	items := make([]item, p.GroupRows(group))
	for i := range items {
		items[i].name = fmt.Sprintf("%s-%05d", prefix, i)
	}
	found := false
	for _, c := range p.Columns() {
		switch path := strings.Join(c.Path, "."); {
		case path == "image.bytes":
			found = true
			err = p.Strings(group, c, func(i int, v [][]byte) error {
				if len(v) > 0 {
					items[i].b = bytes.Clone(v[0])
				}
				return nil
			})
		case path == "image.path":
			err = p.Strings(group, c, func(i int, v [][]byte) error {
				if len(v) > 0 && len(v[0]) > 0 {
					items[i].name = string(v[0])
				}
				return nil
			})
		case path == "label" && c.Kind == parquet.Bytes:
			err = p.Strings(group, c, func(i int, v [][]byte) (err error) {
				if len(v) > 0 && len(v[0]) > 0 {
					items[i].synset, err = className(string(v[0]), names)
				}
				return err
			})
		case path == "label": // -1 is none, in Hugging Face's test sets
			err = p.Ints(group, c, func(i int, v []int64) (err error) {
				if len(v) > 0 && v[0] >= 0 {
					items[i].synset, err = className(strconv.FormatInt(v[0], 10), names)
				}
				return err
			})
		}
		if err != nil {
			return err
		}
	}
	if !found {
		return errors.New("no column image of struct<bytes, path>")
	}
	for _, it := range items {
		if err := cmp.Or(ctx.Err(), emit(it)); err != nil {
			return err
		}
	}
	return nil
}
