package infer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/synshard/synshard/internal/parquet"
	"github.com/synshard/synshard/shard"
)

var known = OpenOptions{Known: func(s string) bool { return s == "n01440764" || s == "cat" }}

// contents gives path, synset and bytes of every row.
func contents(t *testing.T, s Source) [][3]string {
	t.Helper()
	var out [][3]string
	for i := range s.Len() {
		b, err := s.Read(i, make([]byte, 2))
		if err != nil && !errors.Is(err, ErrUnreadable) {
			t.Fatalf("row %d: %v", i, err)
		}
		if err != nil {
			b = []byte("unreadable")
		}
		out = append(out, [3]string{s.Path(i), s.Synset(i), string(b)})
	}
	return out
}

func put(t *testing.T, name string, b []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

func archive(t *testing.T, members ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(members); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: members[i], Mode: 0o666, Size: int64(len(members[i+1])), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, members[i+1])
	}
	w.Close()
	return b.Bytes()
}

// table makes a record of images as Hugging Face has them.
func imageTable(plain bool) arrow.Record {
	image := arrow.DataType(arrow.StructOf(arrow.Field{Name: "bytes", Type: arrow.BinaryTypes.Binary, Nullable: true}, arrow.Field{Name: "path", Type: arrow.BinaryTypes.String, Nullable: true}))
	if plain {
		image = arrow.BinaryTypes.LargeBinary
	}
	md := arrow.NewMetadata([]string{"huggingface"}, []string{`{"info":{"features":{"image":{"_type":"Image"},"label":{"names":["cat","dog"],"_type":"ClassLabel"}}}}`})
	s := arrow.NewSchema([]arrow.Field{{Name: "more", Type: arrow.PrimitiveTypes.Float64}, {Name: "image", Type: image, Nullable: true}, {Name: "label", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, &md)
	b := array.NewRecordBuilder(memory.DefaultAllocator, s)
	defer b.Release()
	for i, text := range []string{"one", "two", ""} {
		b.Field(0).(*array.Float64Builder).Append(1)
		b.Field(2).(*array.Int64Builder).Append(int64(i % 2))
		switch f := b.Field(1).(type) {
		case *array.StructBuilder:
			f.Append(true)
			if f.FieldBuilder(1).(*array.StringBuilder).Append(text + ".jpg"); text == "" {
				f.FieldBuilder(0).AppendNull()
			} else {
				f.FieldBuilder(0).(*array.BinaryBuilder).Append([]byte(text))
			}
		case *array.BinaryBuilder:
			if text == "" {
				f.AppendNull()
			} else {
				f.Append([]byte(text))
			}
		}
	}
	return b.NewRecord()
}

type recordWriter interface {
	Write(arrow.Record) error
	Close() error
}

func TestSources(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	put(t, at("folder/cat/b.JPG"), []byte("b"))
	put(t, at("folder/cat/a.png"), []byte("a"))
	put(t, at("folder/n01440764_1.jpeg"), []byte("c"))
	put(t, at("folder/notes.txt"), []byte("none"))
	put(t, at("in.tar"), archive(t, "x/cat/1.jpg", "first", "n01440764.tar", string(archive(t, "n01440764_9.JPEG", "inner", "README", "text")), "2.jpg", "last"))
	rec := imageTable(false)
	plain := imageTable(true)
	for _, c := range []struct {
		name   string
		rec    arrow.Record
		encode func(w io.Writer, s *arrow.Schema) (recordWriter, error)
	}{
		{"file.arrow", rec, func(w io.Writer, s *arrow.Schema) (recordWriter, error) {
			return ipc.NewWriter(w, ipc.WithSchema(s)), nil
		}},
		{"stream.arrow", rec, func(w io.Writer, s *arrow.Schema) (recordWriter, error) {
			return ipc.NewWriter(w, ipc.WithSchema(s)), nil
		}},
		{"packed.arrows", plain, func(w io.Writer, s *arrow.Schema) (recordWriter, error) {
			return ipc.NewWriter(w, ipc.WithSchema(s), ipc.WithZstd()), nil
		}},
		{"file.parquet", rec, func(w io.Writer, s *arrow.Schema) (recordWriter, error) {
			return parquet.NewWriter(w, s, parquet.WriterOptions{})
		}},
	} {
		f, err := os.Create(at(c.name))
		if err != nil {
			t.Fatal(err)
		}
		w, err := c.encode(f, c.rec.Schema())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := w.Write(c.rec); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	group := [][3]string{{"one.jpg", "cat", "one"}, {"two.jpg", "", "two"}, {".jpg", "cat", "unreadable"}}
	twice := append(slices.Clone(group), group...)
	for name, want := range map[string][][3]string{
		"folder": {{at("folder/cat/a.png"), "cat", "a"}, {at("folder/cat/b.JPG"), "cat", "b"}, {at("folder/n01440764_1.jpeg"), "n01440764", "c"}},
		"in.tar": {{"x/cat/1.jpg", "cat", "first"}, {"n01440764.tar/n01440764_9.JPEG", "n01440764", "inner"}, {"2.jpg", "", "last"}},

		"file.arrow": twice, "stream.arrow": twice, "file.parquet": twice,
		"packed.arrows": {{at("packed.arrows") + "#0", "cat", "one"}, {at("packed.arrows") + "#1", "", "two"}, {at("packed.arrows") + "#2", "cat", "unreadable"},
			{at("packed.arrows") + "#3", "cat", "one"}, {at("packed.arrows") + "#4", "", "two"}, {at("packed.arrows") + "#5", "cat", "unreadable"}},
	} {
		s, err := Open(t.Context(), []string{at(name), at("in.tar")}, known)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := contents(t, s)
		if n := len(got) - 3; n < 0 || !slices.Equal(got[:n], want) {
			t.Errorf("%s: %q\nwant %q", name, got, want)
		}
		s.Close()
	}
}

func TestListsAndIdentity(t *testing.T) {
	dir := t.TempDir()
	a, gone := put(t, filepath.Join(dir, "cat", "a\nb.jpg"), []byte("a")), filepath.Join(dir, "gone.jpg")
	list := func(text string, zero bool) *Opened {
		s, err := OpenList(t.Context(), strings.NewReader(text), zero, known)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := list(a+"\x00"+gone+"\x00"+a, true)
	if got, want := contents(t, s), [][3]string{{a, "cat", "a"}, {gone, "", "unreadable"}, {a, "cat", "a"}}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	before := s.Identity()
	if again := list(a+"\x00"+gone+"\x00"+a+"\x00", true); again.Identity() != before {
		t.Error("the same list has another identity")
	}
	put(t, a, []byte("other"))
	if list(a+"\x00"+gone+"\x00"+a, true).Identity() == before {
		t.Error("a changed file leaves the identity as it was")
	}
	if got := contents(t, list("x.jpg\r\n\ny.jpg", false)); len(got) != 2 || got[0][0] != "x.jpg" {
		t.Errorf("%q", got)
	}
	if _, err := OpenList(t.Context(), strings.NewReader("\n"), false, known); err == nil {
		t.Error("an empty list was taken")
	}
}

// TestDamagedSources flips and cuts everywhere: an error or other contents, but
// no panic and no end of memory.
func TestDamagedSources(t *testing.T) {
	dir := t.TempDir()
	var file bytes.Buffer
	rec := imageTable(false)
	w := ipc.NewWriter(&file, ipc.WithSchema(rec.Schema()))
	if err := errors.Join(w.Write(rec), w.Close()); err != nil {
		t.Fatal(err)
	}
	var pq bytes.Buffer
	p, err := parquet.NewWriter(&pq, rec.Schema(), parquet.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Write(rec), p.Close()); err != nil {
		t.Fatal(err)
	}
	read := func(name string) {
		s, err := Open(context.Background(), []string{name}, known)
		if err != nil {
			return
		}
		defer s.Close()
		for i := range min(s.Len(), 10) {
			s.Read(i, nil)
			s.Path(i)
		}
	}
	for name, whole := range map[string][]byte{"x.arrow": file.Bytes(), "x.tar": archive(t, "a.jpg", "abc", "b.tar", string(archive(t, "c.jpg", "def"))), "x.parquet": pq.Bytes()} {
		step := 1 + len(whole)/600
		for i := 0; i < len(whole); i += step {
			b := slices.Clone(whole)
			b[i] ^= 0xff
			read(put(t, filepath.Join(dir, name), b))
			read(put(t, filepath.Join(dir, name), whole[:i]))
		}
	}
	put(t, filepath.Join(dir, "x.tar"), archive(t, "a.jpg", strings.Repeat("abc", 1000))[:1000])
	if _, err := Open(t.Context(), []string{filepath.Join(dir, "x.tar")}, known); !errors.Is(err, shard.ErrCorrupt) {
		t.Errorf("a tar cut short: %v", err)
	}
}
