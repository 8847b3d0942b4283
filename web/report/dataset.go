package report

import (
	"context"
	"fmt"

	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/web/look"
)

// Dataset finds the images of predictions in a dataset, whatever split they are of.
type Dataset struct {
	Set *shard.Dataset // where the images lie
	// OnError is told of an image that cannot be decoded; its thumbnail is left out. A
	// dataset that is damaged, or cannot be read, is an error of the report.
	OnError func(path string, err error)
}

// place is a row of a split.
type place struct {
	split *shard.Split
	row   int
}

// Thumbnails gives the middle of each image. An image without a synset is looked for by
// its path alone, and left out where several have it.
func (d *Dataset) Thumbnails(ctx context.Context, names []ImageName) (map[ImageName][]byte, error) {
	places, err := d.find(ctx, names)
	if err != nil {
		return nil, err
	}
	decoder := pixel.NewDecoder()
	defer decoder.Close()
	out, buf := map[ImageName][]byte{}, []byte(nil)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		at := places[name]
		if len(at) != 1 {
			continue
		}
		b, err := at[0].split.Read(at[0].row, buf)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name.Path, err)
		}
		buf = b
		if small, err := look.Thumbnail(decoder, b); err != nil {
			d.OnError(name.Path, err)
		} else {
			out[name] = small
		}
	}
	return out, nil
}

// find looks through all splits once.
func (d *Dataset) find(ctx context.Context, names []ImageName) (map[ImageName][]place, error) {
	wanted, paths := map[ImageName]bool{}, map[string]bool{}
	for _, n := range names {
		wanted[n], paths[n.Path] = true, true
	}
	out := map[ImageName][]place{}
	for _, name := range d.Set.Splits() {
		split, err := d.Set.Split(name)
		if err != nil {
			return nil, err
		}
		for i := range split.Len() {
			row := split.Row(i)
			if !paths[row.Path] {
				continue
			}
			at := place{split, i}
			if n := (ImageName{row.Path, row.Synset}); wanted[n] && row.Synset != "" {
				out[n] = append(out[n], at)
			}
			if n := (ImageName{row.Path, ""}); wanted[n] {
				out[n] = append(out[n], at)
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return out, nil
}
