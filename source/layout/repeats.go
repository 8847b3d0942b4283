package layout

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"github.com/synshard/synshard/source"
)

// RepeatReason is the reason to leave out a row of a list that says again what an earlier one says.
const RepeatReason = "a row that repeats an earlier one"

// repeats finds rows of lists that are about an image of an earlier row.
type repeats map[string]row

// row is what a row says of an image.
type row struct {
	list, unit   string // its file, and what it counts: "line"
	line         int32
	class, split string
}

// rowOf is the k-th row of a list.
func rowOf(list string, lines []int32, k int, class, split string) row {
	r := row{list: list, unit: "line", line: int32(k) + 1, class: class, split: split}
	if k < len(lines) {
		r.line = lines[k]
	}
	if strings.HasSuffix(list, ".parquet") {
		r.unit = "row"
	}
	return r
}

// again says whether a row repeats an earlier one about the same image. A row that says
// something else of it is an error, which names what both say and where. Of two files
// each may put the image into a split.
func (all repeats) again(image string, r row) (bool, error) {
	first, twice := all[image]
	switch {
	case !twice:
		all[image] = r
		return false, nil
	case first.class != r.class:
		return false, fmt.Errorf("%s has two labels: %s, and %s", image, first.says(first.class, "no label"), r.says(r.class, "no label"))
	case first.split != r.split && first.list == r.list:
		return false, fmt.Errorf("%s is of two splits: %s, and %s", image, first.says(first.split, "none"), r.says(r.split, "none"))
	}
	return first.split == r.split, nil
}

func (r row) says(what, nothing string) string {
	return fmt.Sprintf("%s in %s %d of %s", cmp.Or(what, nothing), r.unit, r.line, r.list)
}

// repeated says whether the k-th entry of an input, a row of a list, repeats an earlier one of
// any list.
func (m *mapper) repeated(i, k int, e *source.Entry, class, split string) (bool, error) {
	info := &m.inputs[i].Info
	if info.Lines == nil {
		return false, nil
	}
	image := e.Name
	switch {
	case m.lists > 1:
		image = info.Names(image)
	case !source.IsURL(image):
		image = path.Clean(image)
	}
	again, err := m.rows.again(image, rowOf(info.Path, info.Lines, k, class, split))
	if err != nil {
		err = fmt.Errorf("%w: take one of them out", err)
	}
	return again, err
}
