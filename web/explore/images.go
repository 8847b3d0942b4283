package explore

import (
	"slices"

	"github.com/synshard/synshard/shard"
)

// Ref names an image: a split and a row of its index.
type Ref struct {
	Split string // its name
	Row   int    // from 0
}

// Image is an image as the index has it.
type Image struct {
	Ref
	shard.Row
}

// Images gives a page of a node's images, from number from on: its own, or with below also
// those of what is below it; of a split, or with "" of all. total is how many there are.
func (e *Explorer) Images(key, split string, below bool, from, count int) (page []Image, total int, err error) {
	for i, b := range e.splits {
		if split != "" && b.Name != split {
			continue
		}
		for _, at := range e.members(key, below) {
			n := e.synsets[at].in[i]
			if n < 0 {
				continue
			}
			rows := int(b.Synsets()[n].Images)
			for k := max(from-total, 0); k < rows && len(page) < count; k++ {
				ref := Ref{b.Name, b.RowOf(n, k)}
				row, err := b.Row(ref.Row)
				if err != nil {
					return nil, 0, err
				}
				page = append(page, Image{ref, row})
			}
			total += rows
		}
	}
	return page, total, nil
}

// members are the places in synsets of a node, or of all that is at or below it.
func (e *Explorer) members(key string, below bool) []int32 {
	if id, ok := e.node(key); ok && below {
		return e.below[id]
	}
	if at, ok := e.place[key]; ok {
		return []int32{int32(at)}
	}
	return nil
}

func (e *Explorer) split(name string) (*shard.Browser, bool) {
	i := slices.IndexFunc(e.splits, func(b *shard.Browser) bool { return b.Name == name })
	if i < 0 {
		return nil, false
	}
	return e.splits[i], true
}

// Has says whether there is such an image.
func (e *Explorer) Has(r Ref) bool {
	b, ok := e.split(r.Split)
	return ok && r.Row >= 0 && r.Row < b.Len()
}

// Image gives an image that Has says is there.
func (e *Explorer) Image(r Ref) (Image, error) {
	b, _ := e.split(r.Split)
	row, err := b.Row(r.Row)
	return Image{r, row}, err
}

// Read gives the bytes of an image that Image gave; see shard.Split.Read.
func (e *Explorer) Read(im *Image, buf []byte) ([]byte, error) {
	b, _ := e.split(im.Split)
	return b.Read(&im.Row, buf)
}

// Beside gives the images before and after one among those of its class in its split; nil
// where there is none. number is which it is, from 0, of total.
func (e *Explorer) Beside(im *Image) (before, after *Ref, number, total int) {
	b, _ := e.split(im.Split)
	i := slices.Index(e.splits, b)
	n := e.synsets[e.place[e.keyOf(im.Row.Synset)]].in[i]
	number, total = b.PlaceOf(n, im.Ref.Row), int(b.Synsets()[n].Images)
	if number > 0 {
		before = &Ref{im.Split, b.RowOf(n, number-1)}
	}
	if number+1 < total {
		after = &Ref{im.Split, b.RowOf(n, number+1)}
	}
	return before, after, number, total
}

// Source is what a split was made from, as its ingest said it.
func (e *Explorer) Source(split string) string {
	b, ok := e.split(split)
	if !ok {
		return ""
	}
	return b.Info.Source
}
