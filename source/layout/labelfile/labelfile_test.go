package labelfile

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/parquet"
	"github.com/synshard/synshard/source"
)

func TestTables(t *testing.T) {
	for name, c := range map[string]struct {
		read func([]byte) (map[string]string, error)
		text string
		want map[string]string // nil: refused
	}{
		"solution":              {Solution, "ImageId,PredictionString\nILSVRC2012_val_00000001,n01751748 1 2 3 4 \n", map[string]string{"ILSVRC2012_val_00000001": "n01751748"}},
		"solution, BOM, floats": {Solution, "\ufeffImageId,PredictionString,More\r\na,n01751748 1.5 2 3 4 n01440764 1 2 3 4,x\r\n", map[string]string{"a": "n01751748"}},
		"solution, turned":      {Solution, "PredictionString,ImageId\nn01751748 1 2 3 4,a\n", map[string]string{"a": "n01751748"}},
		"solution, no heading":  {Solution, "a,n01751748\n", map[string]string{"a": "n01751748"}},
		"solution, no synset":   {Solution, "ImageId,PredictionString\na,7 1 2 3 4\n", nil},
		"solution, short":       {Solution, "ImageId,PredictionString\na\n", nil},
		"solution, twice":       {Solution, "a,n01751748\na,n01440764\n", nil},
		"annotations":           {Annotations, "v_0.JPEG\tn01751748\t0\t32\t44\t62\r\n\nv_1.JPEG\tn01440764\n", map[string]string{"v_0.JPEG": "n01751748", "v_1.JPEG": "n01440764"}},
		"annotations, words":    {Annotations, "v_0.JPEG\ttench\n", nil},
		"annotations, twice":    {Annotations, "v\tn01751748\nv\tn01440764\n", nil},
	} {
		got, err := c.read([]byte(c.text))
		if (err != nil) != (c.want == nil) {
			t.Errorf("%s: %v, %v", name, got, err)
		} else if d := cmp.Diff(c.want, got); d != "" && err == nil {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestCard(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want map[string]string // the split of each file; "?" is not listed
	}{
		"splits":       {"---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n  - split: test\n    path:\n    - a.parquet\n    - b/**/c.parquet\n---\n# x", map[string]string{"data/train-0.parquet": "train", "a.parquet": "test", "b/1/2/c.parquet": "test", "b/c.parquet": "test", "x.parquet": "?"}},
		"one pattern":  {"---\nconfigs:\n- config_name: x\n  data_files: '*.parquet'\n---\n", map[string]string{"a.parquet": "train", "a/b.parquet": "?"}},
		"the default":  {"---\r\nconfigs:\r\n- config_name: small\r\n  data_files: s/*\r\n- config_name: large\r\n  default: true\r\n  data_files: l/*\r\n---\r\n", map[string]string{"l/a": "train", "s/a": "?"}},
		"many names":   {"---\ndataset_info:\n  names:\n" + strings.Repeat("    - x\n", 30_000) + "configs:\n- data_files: a\nsize: 1\n---\n", map[string]string{"a": "train"}},
		"no configs":   {"---\nlicense: mit\n---\n", map[string]string{"a": ""}},
		"no card":      {"# A data set\n", map[string]string{"a": ""}},
		"never closed": {"---\nconfigs:\n", map[string]string{"a": ""}},
	} {
		card, err := ParseCard([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for file, want := range c.want {
			split, listed, ok := card.SplitOf(file)
			if ok && !listed {
				split = "?"
			}
			if split != want {
				t.Errorf("%s: %s is of %q, want %q", name, file, split, want)
			}
		}
	}
	for name, text := range map[string]string{
		"two configs": "---\nconfigs:\n- config_name: a\n  data_files: a\n- config_name: b\n  data_files: b\n---\n",
		"many **":     "---\nconfigs:\n- data_files: '**/a/**/a/**/a/**/a'\n---\n",
		"not YAML":    "---\nconfigs: [\n---\n",
	} {
		if card, err := ParseCard([]byte(text)); err == nil {
			t.Errorf("%s: %+v", name, card)
		}
	}
}

func TestSample(t *testing.T) {
	number := func(n int64) source.Label { return source.Label{Kind: source.NumberLabel, Number: n} }
	for name, c := range map[string]struct {
		cls, json string // "": there is none
		want      Sample
		err       error
	}{
		"number":            {cls: "7\n", want: Sample{Label: number(7)}},
		"none":              {cls: "-1", want: Sample{Label: number(-1)}},
		"name":              {cls: "tench", want: Sample{Label: source.Label{Kind: source.NameLabel, Name: "tench"}}},
		"a fraction":        {cls: "1.0", err: ErrNotLabel},
		"a list":            {cls: "[1]", err: ErrNotLabel},
		"a pickle":          {cls: "\x80\x04K\x01.", err: ErrNotText},
		"a byte":            {cls: "\x01", err: ErrNotText},
		"synset, label":     {json: `{"label": 3, "synset": "n01440764"}`, want: Sample{Label: number(3), Class: "n01440764"}},
		"wnid":              {json: `{"wnid": "n01440764"}`, want: Sample{Class: "n01440764"}},
		"both":              {cls: "3", json: `{"label": 3, "synset": "n01440764"}`, want: Sample{Label: number(3), Class: "n01440764"}},
		"number and synset": {cls: "3", json: `{"synset": "n01440764"}`, want: Sample{Label: number(3), Class: "n01440764"}},
		"our export":        {cls: "3", json: `{"label": 3, "synset": "n01440764", "path": "a.JPEG", "sha256": "00"}`, want: Sample{Label: number(3), Class: "n01440764", Path: "a.JPEG"}},
		"a path of others":  {json: `{"synset": "n01440764", "path": "/tmp/a"}`, want: Sample{Class: "n01440764"}},
		"caption":           {cls: "3", json: `{"text": "a fish"}`, want: Sample{Label: number(3)}},
		"name and number":   {cls: "3", json: `{"class": "tench"}`, want: Sample{Label: number(3), Class: "tench"}},
		"number and name":   {cls: "tench", json: `{"label": 3}`, want: Sample{Label: number(3), Class: "tench"}},
		"words and synset":  {cls: "tench", json: `{"synset": "n01440764"}`, want: Sample{Label: source.Label{Kind: source.NameLabel, Name: "tench"}, Class: "n01440764"}},
		"synset and words":  {cls: "n01440764", json: `{"label": "tench, Tinca tinca"}`, want: Sample{Label: source.Label{Kind: source.NameLabel, Name: "tench, Tinca tinca"}}},
		"words and label":   {cls: "tench, Tinca tinca", json: `{"label": "n01440764"}`, want: Sample{Label: source.Label{Kind: source.NameLabel, Name: "n01440764"}}},
		"synset and both":   {cls: "n01440764", json: `{"label": "tench, Tinca tinca", "synset": "n01440764"}`, want: Sample{Label: source.Label{Kind: source.NameLabel, Name: "tench, Tinca tinca"}, Class: "n01440764"}},
		"words twice":       {cls: "tench, Tinca tinca", json: `{"label": "tench", "synset": "n01440764"}`, want: Sample{Label: source.Label{Kind: source.NameLabel, Name: "tench"}, Class: "n01440764"}},
		"differ":            {cls: "3", json: `{"label": 4}`, err: ErrDiffer},
		"names differ":      {cls: "tench", json: `{"class": "shark"}`, err: ErrDiffer},
		"synsets differ":    {cls: "n01440764", json: `{"synset": "n01443537"}`, err: ErrDiffer},
		"name and another":  {cls: "cat", json: `{"synset": "dog", "label": 3}`, err: ErrDiffer},
		"half":              {json: `{"label": 1.7}`, err: ErrValue},
		"nested":            {json: `{"label": {"a": 1}}`, err: ErrValue},
		"not JSON":          {json: `{`, err: ErrJSON},
		"not an object":     {json: `[1]`, err: ErrJSON},
	} {
		var s Sample
		var err error
		if c.cls != "" {
			err = s.Add("cls", []byte(c.cls))
		}
		if c.json != "" && err == nil {
			err = s.Add("JSON", []byte(c.json))
		}
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.err)
		} else if d := cmp.Diff(c.want, Sample{Label: s.Label, Class: s.Class, Path: s.Path}, cmp.AllowUnexported(Sample{})); d != "" && err == nil {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	for name, want := range map[string][2]string{"a/000.jpg": {"a/000", "jpg"}, "a.b/000.0.input.jpg": {"a.b/000", "0.input.jpg"}, "a": {"a", ""}} {
		key, ext := Key(name)
		if diff := cmp.Diff(want, [2]string{key, ext}); diff != "" {
			t.Errorf("%s: key, ending (-want +got):\n%s", name, diff)
		}
	}
}

// parquetOf writes names and labels, "" being none, a row group a row.
func parquetOf(t *testing.T, names, labels []string) []byte {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "file_name", Type: arrow.BinaryTypes.String}, {Name: "label", Type: arrow.BinaryTypes.String, Nullable: true}, {Name: "score", Type: arrow.PrimitiveTypes.Float32}}, nil)
	var out bytes.Buffer
	w, err := parquet.NewWriter(&out, schema, parquet.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range names {
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		b.Field(0).(*array.StringBuilder).Append(names[i])
		if labels[i] == "" {
			b.Field(1).AppendNull()
		} else {
			b.Field(1).(*array.StringBuilder).Append(labels[i])
		}
		b.Field(2).(*array.Float32Builder).Append(0.5)
		if err := w.Write(b.NewRecord()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestMetadata holds that the three forms of metadata say the same.
func TestMetadata(t *testing.T) {
	want := &source.Table{Paths: []string{"a.jpg", "b/c.jpg", "d.jpg"}}
	for name, b := range map[string][]byte{
		"metadata.csv":     []byte("file_name,label\na.jpg,cat\nb/c.jpg,\nd.jpg,dog\n"),
		"metadata.jsonl":   []byte(`{"file_name": "a.jpg", "label": "cat"}` + "\n" + `{"file_name": "b/c.jpg"}` + "\n" + `{"file_name": "d.jpg", "label": "dog"}` + "\n"),
		"metadata.parquet": parquetOf(t, want.Paths, []string{"cat", "", "dog"}),
	} {
		got, err := Metadata(name, b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var labels []string
		for _, c := range got.Columns {
			if c.Name == "label" {
				for _, r := range c.Rows {
					labels = append(labels, c.Values[r].String())
				}
			}
		}
		if d := cmp.Diff([][]string{want.Paths, {"cat", "", "dog"}}, [][]string{got.Paths, labels}); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if got, err := Metadata("metadata.parquet", []byte("PAR1 and no more PAR1")); err == nil {
		t.Errorf("a damaged file: %+v", got)
	}
}

// TestMetadataNames holds that the names of a ClassLabel's numbers are read from the schema of a
// metadata.parquet, as pyarrow writes it, and make a column one of classes.
func TestMetadataNames(t *testing.T) {
	b, err := os.ReadFile("testdata/metadata.parquet")
	if err != nil {
		t.Fatal(err)
	}
	lists, err := os.ReadFile("testdata/metadata-lists.parquet")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Metadata("metadata.parquet", lists); err == nil || !strings.Contains(err.Error(), "2 labels: an image has one class here") {
		t.Errorf("lists of labels: %v", err)
	}
	got, err := Metadata("metadata.parquet", b)
	if err != nil {
		t.Fatal(err)
	}
	number := func(n int64) source.Label { return source.Label{Kind: source.NumberLabel, Number: n} }
	want := &source.Table{
		Paths: []string{"a.jpg", "b.jpg", "c.jpg", "d.jpg"}, Lines: []int32{1, 2, 3, 4},
		Columns: []source.Column{{Name: "breed", ClassNames: []string{"pug", "collie", "beagle"}, Values: []source.Label{number(1), number(0), {}}, Rows: []int32{0, 1, 2, 0}}},
		Others:  []source.Column{{Name: "weight", Values: []source.Label{number(9), number(8), number(7)}, Rows: []int32{0, 1, 0, 2}}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// FuzzRead holds that no bytes make a reader panic, and that what is read has names.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"ImageId,PredictionString\na,n01751748 1 2 3 4\n", "v.JPEG\tn01751748\t0", "---\nconfigs:\n- data_files: '*'\n---\n", `{"label": 1, "synset": "n01751748"}`, "1.0", "file_name,label\na,b\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, read := range []func([]byte) (map[string]string, error){Solution, Annotations} {
			m, err := read(b)
			for name, synset := range m {
				if err == nil && (name == "" || len(synset) != 9) {
					t.Fatalf("%q is of %q", name, synset)
				}
			}
		}
		if card, err := ParseCard(b); err == nil {
			card.SplitOf("data/train-0.parquet")
		}
		for _, ext := range []string{"cls", "json"} {
			var s Sample
			if err := s.Add(ext, b); err == nil && s.Label.Kind == source.NameLabel && s.Label.Name == "" {
				t.Fatalf("%s: a label without a name", ext)
			}
		}
		for _, name := range []string{"metadata.csv", "metadata.jsonl", "metadata.parquet"} {
			Metadata(name, b) // source and parquet hold themselves to more
		}
	})
}
