// Command hostile writes a dataset, predictions and a list of classes in which every name, word
// and image wants to be more than that: what a browser is to make nothing of.
//
//	go run ./scripts/browser/hostile DIR
package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
)

// names of classes; the first is a synset, so that there is a tree.
var names = []string{
	"n02084071",
	`<script>alert(1)</script>`,
	`"><img src=x onerror=alert(2)>' onclick='alert(3)`,
	"../../../../etc/passwd",
	"a\x1b[2J\u202eb\r\nc",
	"javascript:alert(4)",
	"{{.}} ${alert(5)} `x` %3Cscript%3E &lt;b&gt;",
	strings.Repeat("verylong", 400),
}

const split = `val "<i>&amp;`

func main() {
	log.SetFlags(0)
	if err := write(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func write(dir string) error {
	images, err := made()
	if err != nil {
		return err
	}
	set := filepath.Join(dir, "set")
	if err := os.MkdirAll(filepath.Join(set, split), 0o777); err != nil {
		return err
	}
	m := shard.Manifest{WordNetVersion: "3.0", Splits: map[string]shard.SplitInfo{}}
	var classes []shard.Class
	for label, name := range names {
		classes = append(classes, shard.Class{Label: label, Synset: name, Words: []string{"word " + name}, Gloss: "gloss " + name})
	}
	if m.ClassesSHA256, err = shard.WriteClasses(files.Local(set), classes); err != nil {
		return err
	}
	w, err := shard.CreateFile(files.Local(filepath.Join(set, split)), "part-00000.arrow", shard.FileMeta{Split: split})
	if err != nil {
		return err
	}
	defer w.Abort()
	for _, im := range images {
		if err := w.Append(im); err != nil {
			return err
		}
	}
	rows, err := w.Commit()
	if err != nil {
		return err
	}
	info := shard.SplitInfo{Rows: int64(len(rows)), Bytes: w.Bytes(), Shards: 1, Source: names[2]}
	if info.IndexSHA256, err = shard.WriteIndex(files.Local(set), split, rows); err != nil {
		return err
	}
	m.Splits[split] = info
	if err := shard.WriteManifest(files.Local(set), m); err != nil {
		return err
	}
	return predict(dir, images)
}

// made are images of every name, and bytes that are none.
func made() (images []*shard.Image, err error) {
	jpeg, err := pixel.EncodeJPEG(64, 48, bytes.Repeat([]byte{200, 120, 40}, 64*48), 90)
	if err != nil {
		return nil, err
	}
	add := func(path string, label int, b []byte) {
		images = append(images, &shard.Image{Bytes: b, Row: shard.Row{Path: path, Label: int64(label), Synset: names[label], Width: 64, Height: 48, Format: names[1], Mode: names[2],
			Objects: []shard.Object{{Synset: names[2], XMin: -5, YMin: 3, XMax: 1 << 30, YMax: 40}}}})
	}
	for label, name := range names {
		for k := range 3 {
			add(fmt.Sprintf("%s %d.jpg", name, k), label, jpeg)
		}
	}
	svg := `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(10)"><script>alert(11)</script><image href="http://127.0.0.1:9/x"/></svg>`
	for i, b := range []string{"<!doctype html><script>alert(12)</script>", svg, "GIF89a" + svg, string(jpeg[:150]), "\x89PNG\r\n\x1a\n" + svg, "\xff\xd8\xff<script>alert(13)</script>"} {
		add(fmt.Sprintf("%d.html", i), 0, []byte(b))
	}
	return images, nil
}

// predict takes every image for the next class; one failed, for a reason that is hostile, too.
func predict(dir string, images []*shard.Image) error {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	out := [][]string{{"path", "label", "pred_label_1", "pred_prob_1", "error"}}
	for i, im := range images {
		row := []string{im.Path, fmt.Sprint(im.Label), fmt.Sprint((im.Label + 1) % int64(len(names))), "0.5", ""}
		if i == 4 {
			row[2], row[3], row[4] = "", "", names[1]
		}
		out = append(out, row)
	}
	if err := w.WriteAll(out); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "p.csv"), b.Bytes(), 0o666); err != nil {
		return err
	}
	return nil
}
