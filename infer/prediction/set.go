package prediction

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/model"
)

// Set is the predictions of a file, held for measuring: what is needed of
// each row, in the file's order.
type Set struct {
	Classes []string       // the model's, in label order
	K       int            // predictions kept of each row, at least 1
	Paths   []string       // the images'
	Truth   []int32        // class, or -1: not known, or none of the model's
	Failed  []bool         // the image could not be read; its predictions are -1
	Errors  map[int]string // of the rows that failed, where the file says why
	Top     []int32        // [rows, K] classes, most probable first
	Prob    []float32      // [rows, K] probabilities of Top
	All     []float32      // [rows, classes] probabilities, if the file has them
}

// Len counts the rows.
func (s *Set) Len() int { return len(s.Truth) }

// Read reads a file of predictions in any of Formats, told apart by its
// content: one that infer or merge wrote, or such a one that another program saved
// again, whatever the widths of its integers and the kind of its strings. The classes
// are in its metadata, or for text in what lies beside it; given ones take
// their place where there are none, and must equal them otherwise. A file that
// is damaged is ErrFormat.
func Read(path string, classes []string) (*Set, error) {
	f, size, format, err := openAny(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var s *Set
	if format.Text() {
		s, err = readTextFile(f, path, format, classes)
	} else {
		s, err = readColumns(f, size, format, classes)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// openAny opens a file and tells its format by its content.
func openAny(path string) (f *os.File, size int64, format Format, err error) {
	f, info, err := regular.Open(path)
	if errors.Is(err, regular.ErrUnfit) {
		err = formatf("%w", err)
	}
	if err != nil {
		return nil, 0, "", err
	}
	format, err = sniff(bufio.NewReaderSize(f, 1<<16))
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, 0, "", fmt.Errorf("%s: %w", path, err)
	}
	return f, info.Size(), format, nil
}

// ReadFrom is Read for what has no name. Arrow and Parquet are kept in memory
// for that.
func ReadFrom(r io.Reader, classes []string) (*Set, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	format, err := sniff(b)
	if err != nil {
		return nil, err
	}
	if format.Text() {
		return readText(b, format, metadata{}, classes)
	}
	all, err := io.ReadAll(io.LimitReader(b, regular.Table+1))
	if err == nil && len(all) > regular.Table {
		err = fmt.Errorf("more than %d GiB come through the pipe", regular.Table>>30)
	}
	if err != nil {
		return nil, err
	}
	return readColumns(bytes.NewReader(all), int64(len(all)), format, classes)
}

func readColumns(in io.ReaderAt, size int64, format Format, classes []string) (*Set, error) {
	t, err := openTable(in, size, format)
	if err != nil {
		return nil, err
	}
	s := newFilling(classes)
	if err := s.describe(t.metadata(), "it"); err != nil {
		return nil, err
	}
	if err := readTable(t, false, s.add); err != nil {
		return nil, err
	}
	return s.Set, s.end()
}

// readTextFile reads text with what lies beside it.
func readTextFile(f io.Reader, path string, format Format, classes []string) (*Set, error) {
	beside, err := readSidecar(path)
	if err != nil {
		return nil, err
	}
	sum := newByteSum()
	s, err := readText(io.TeeReader(f, sum), format, beside.Metadata, classes)
	if err != nil {
		return nil, err
	}
	return s, beside.check(path, sum)
}

// describe takes the classes of the Spec that metadata have, if any.
func (s *Set) describe(md metadata, what string) error {
	if err := md.check(); err != nil {
		return err
	}
	if text := md[KeySpec]; text != "" {
		spec, err := model.ParseSpec(text)
		if err != nil {
			return formatf("%w", err)
		}
		if s.Classes != nil && !slices.Equal(s.Classes, spec.Classes) {
			return fmt.Errorf("the %d classes given are not the %d that the predictions were made with", len(s.Classes), len(spec.Classes))
		}
		s.Classes = spec.Classes
	}
	if s.Classes == nil {
		return formatf("%s does not hold the model's classes (%s in its metadata): give them", what, KeySpec)
	}
	return nil
}

// filling is a Set whose rows are being read.
type filling struct {
	*Set
	list   string           // whose classes they are, for an error; "": the file's own
	places map[string]int64 // of the classes, by their names as files have them; nil until a row needs it
}

func newFilling(classes []string) *filling {
	s := &filling{Set: &Set{Classes: classes}}
	if classes != nil {
		s.list = " of the classes given"
	}
	return s
}

// place is the class of a name; false: it is none's.
func (s *filling) place(name string) (class int64, known bool) {
	if s.places == nil {
		s.places = make(map[string]int64, len(s.Classes))
		for i, c := range s.Classes {
			s.places[utf8name.Ensure(c)] = int64(i)
		}
	}
	class, known = s.places[name]
	return class, known
}

// predicted is a row as any format has it, good until add returns. Without labels it
// failed; label is -1 where there is no truth.
type predicted struct {
	path   string
	label  int64
	synset string // the truth's name; "" where the file does not say it
	labels []int64
	names  []string // of labels; none where the file does not say them
	probs  []float32
	all    []float32 // of every class, or nil
	err    string    // why it failed; "": nothing is said
}

// width says how many predictions of a row are kept, once that is known.
func (s *Set) width(k int) {
	s.K = k
	for range k * s.Len() {
		s.Top, s.Prob = append(s.Top, -1), append(s.Prob, 0)
	}
}

// end is called when all rows are there.
func (s *Set) end() error {
	if s.K == 0 {
		s.width(1)
	}
	return nil
}

// beside is what probabilities may be beside 0 and 1 where they were rounded.
const beside = 1e-3

// fit refuses a row, number i, that does not go with the others.
func (s *filling) fit(i int, r predicted) error {
	if r.label < -1 || r.label >= int64(len(s.Classes)) {
		return formatf("row %d: label %d of %d classes", i, r.label, len(s.Classes))
	}
	if len(r.labels) > 0 && s.K == 0 {
		s.width(len(r.labels))
	}
	if len(r.labels) > 0 && (len(r.labels) != s.K || len(r.probs) != s.K) || r.all != nil && len(r.all) != len(s.Classes) {
		return formatf("row %d has %d labels, %d probabilities and %d of all classes", i, len(r.labels), len(r.probs), len(r.all))
	}
	for _, class := range r.labels {
		if class < 0 || class >= int64(len(s.Classes)) {
			return formatf("row %d: predicted label %d of %d classes", i, class, len(s.Classes))
		}
	}
	for _, column := range []struct {
		name   string
		values []float32
	}{{"pred_prob", r.probs}, {"probabilities", r.all}} {
		for _, p := range column.values {
			if !(p >= -beside && p <= 1+beside) { // NaN neither
				return formatf("row %d: %s %v is no probability", i, column.name, p)
			}
		}
	}
	return s.agrees(i, r)
}

// agrees refuses a row, number i, that contradicts itself: a class by its label and another
// by its name, one class at two ranks, and a rank more probable than the one before.
func (s *filling) agrees(i int, r predicted) error {
	// Names that are of no class say nothing: people translate them.
	other := func(label int64, name string) bool {
		if label < 0 || name == s.Classes[label] {
			return false
		}
		class, known := s.place(name)
		return known && class != label && s.Classes[class] != s.Classes[label]
	}
	if other(r.label, r.synset) {
		return formatf("row %d: label %d%s is class %s, and synset says %s", i, r.label, s.list, s.Classes[r.label], r.synset)
	}
	for rank, class := range r.labels {
		switch {
		case rank < len(r.names) && other(class, r.names[rank]):
			return formatf("row %d: pred_label %d%s is class %s, and pred_synset says %s", i, class, s.list, s.Classes[class], r.names[rank])
		case rank > 0 && r.probs[rank] > r.probs[rank-1]+beside:
			return formatf("row %d: pred_prob %v comes after %v: want the most probable class first", i, r.probs[rank], r.probs[rank-1])
		}
	}
	if class, twice := repeated(r.labels); twice {
		return formatf("row %d predicts class %d (%s) twice", i, class, s.Classes[class])
	}
	return nil
}

// repeated gives a number that stands twice in a list.
func repeated(list []int64) (int64, bool) {
	if len(list) > 16 { // of many classes kept: not each with each
		list = slices.Clone(list)
		slices.Sort(list)
		for i := range list[1:] {
			if list[i] == list[i+1] {
				return list[i], true
			}
		}
		return 0, false
	}
	for i, v := range list {
		if slices.Contains(list[:i], v) {
			return v, true
		}
	}
	return 0, false
}

// add appends a row.
func (s *filling) add(r predicted) error {
	if err := s.fit(s.Len(), r); err != nil {
		return err
	}
	failed := len(r.labels) == 0
	if err := s.addAll(r, failed); err != nil {
		return err
	}
	if failed && r.err != "" {
		s.fail(s.Len(), r.err)
	}
	for j := range s.K {
		class, share := int64(-1), float32(0)
		if !failed {
			class, share = r.labels[j], r.probs[j]
		}
		s.Top, s.Prob = append(s.Top, int32(class)), append(s.Prob, share)
	}
	s.Paths, s.Truth, s.Failed = append(s.Paths, r.path), append(s.Truth, int32(r.label)), append(s.Failed, failed)
	return nil
}

// fail says why a row failed.
func (s *Set) fail(row int, why string) {
	if s.Errors == nil {
		s.Errors = map[int]string{}
	}
	s.Errors[row] = why
}

// addAll keeps the probabilities of all classes: none, or those of every row
// that did not fail, which has zeros.
func (s *Set) addAll(r predicted, failed bool) error {
	c := len(s.Classes)
	switch {
	case r.all != nil:
		if s.All == nil { // those before failed
			s.All = make([]float32, s.Len()*c)
		}
		if len(s.All) != s.Len()*c {
			return formatf("row %d has all probabilities, and others have not", s.Len())
		}
		s.All = append(s.All, r.all...)
	case s.All != nil && failed:
		s.All = append(s.All, make([]float32, c)...)
	case s.All != nil:
		return formatf("row %d has no probabilities of all classes, and others have", s.Len())
	}
	return nil
}
