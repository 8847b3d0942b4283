package export

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/shard/shardtest"
	"github.com/synshard/synshard/storage/files"
)

// cardFront is what tools read of a card.
type cardFront struct {
	Name    string   `yaml:"pretty_name"`
	Sizes   []string `yaml:"size_categories"`
	Configs []struct {
		Files []struct{ Split, Path string } `yaml:"data_files"`
	}
	Info struct {
		Features []struct{ Name string }
		Splits   []struct {
			Name  string
			Bytes int64 `yaml:"num_bytes"`
			Rows  int   `yaml:"num_examples"`
		}
		Download int64 `yaml:"download_size"`
	} `yaml:"dataset_info"`
}

// TestCard holds the card and Croissant's metadata to the files that they are of, and wants
// what people wrote into them to stay.
func TestCard(t *testing.T) {
	out := t.TempDir()
	parts := views(t, shardtest.Open(t, shardtest.Copy(t)))
	o := Options{To: "hf", ShardBytes: 3000, Name: `cats: "two" | 1`}
	if err := Write(context.Background(), files.Local(out), parts, o); err != nil {
		t.Fatal(err)
	}
	text := read(t, out, cardName)
	_, front, _ := strings.Cut(text, "---\n")
	front, body, _ := strings.Cut(front, "---\n")
	var got cardFront
	if err := yaml.Unmarshal([]byte(front), &got); err != nil {
		t.Fatalf("%v\n%s", err, front)
	}
	if got.Name != o.Name || !strings.Contains(body, `# cats: "two" \| 1`) {
		t.Errorf("called %q:\n%s", got.Name, body)
	}
	if d := cmp.Diff([]string{"n<1K"}, got.Sizes); d != "" {
		t.Error(d)
	}
	var stored int64
	for i, f := range got.Configs[0].Files {
		found, err := filepath.Glob(filepath.Join(out, f.Path))
		if err != nil || len(found) == 0 {
			t.Errorf("%s: %v, %v", f.Path, found, err)
		}
		for _, name := range found {
			stored += size(t, name)
		}
		want := fixtureImages(t, map[string]string{"validation": "val"}[f.Split]+strings.TrimPrefix(f.Split, "validation"))
		if s := got.Info.Splits[i]; s.Name != f.Split || s.Rows != len(want) {
			t.Errorf("%s: %+v, want %d rows", f.Split, s, len(want))
		}
	}
	if got.Info.Download != stored || len(got.Info.Features) != 3 {
		t.Errorf("%+v, %d bytes are there", got.Info, stored)
	}
	checkCroissant(t, out)

	for _, name := range []string{cardName, croissantName} {
		if err := os.WriteFile(filepath.Join(out, name), []byte("mine"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := Write(context.Background(), files.Local(out), parts, o); err != nil {
		t.Fatal(err)
	}
	if a, b := read(t, out, cardName), read(t, out, croissantName); a != "mine" || b != "mine" {
		t.Errorf("what was written into them is gone: %q, %q", a, b)
	}
}

// checkCroissant wants a file set a split, of files that are there, and a record set that reads it.
func checkCroissant(t *testing.T, out string) {
	t.Helper()
	var doc struct {
		Distribution []struct {
			ID       string `json:"@id"`
			Includes string
		}
		RecordSet []struct {
			ID   string `json:"@id"`
			Data []map[string]any
		}
	}
	if err := json.Unmarshal([]byte(read(t, out, croissantName)), &doc); err != nil {
		t.Fatal(err)
	}
	var sets []string
	for _, r := range doc.RecordSet {
		sets = append(sets, r.ID)
	}
	if d := cmp.Diff([]string{"classes", "train", "validation", "test"}, sets, cmpopts.SortSlices(func(a, b string) bool { return a < b })); d != "" {
		t.Error(d)
	}
	if n := len(doc.RecordSet[0].Data); n != len(fixtureClasses) {
		t.Errorf("%d classes", n)
	}
	for _, f := range doc.Distribution {
		if found, err := filepath.Glob(filepath.Join(out, f.Includes)); err != nil || len(found) == 0 {
			t.Errorf("%s: %v, %v", f.Includes, found, err)
		}
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func size(t *testing.T, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
