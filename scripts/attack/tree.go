//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// tree is what lies in a directory: relative names to contents. A directory is "/", a link "-> target", a file ": bytes".
type tree map[string]string

// readTree reads all of a directory. same, where given, turns a file's bytes into what of them is promised, or leaves it out.
func readTree(dir string, same func(name string, b []byte) (promised []byte, ok bool)) (tree, error) {
	t := tree{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if same != nil && !d.Type().IsRegular() {
			if _, promised := same(name, nil); !promised && d.IsDir() {
				return fs.SkipDir
			} else if !promised {
				return nil
			}
		}
		switch {
		case name == "kept" || name == ".sgwtmp": // what is kept here of a bucket, and the S3 server's own
			return fs.SkipDir
		case d.IsDir():
			t[name] = "/"
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			t[name] = "-> " + strings.TrimPrefix(target, dir) // from the directory, where it is an absolute one below it
			return err
		case d.Type().IsRegular():
			b, err := os.ReadFile(path)
			ok := true
			if same != nil {
				b, ok = same(name, b)
			}
			if ok {
				t[name] = ": " + string(b)
			}
			return err
		default:
			t[name] = d.Type().String()
		}
		return nil
	})
	return t, err
}

// differences names what of got is not as in want, "" where nothing.
func (want tree) differences(got tree) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		g, ok := got[name]
		switch w := want[name]; {
		case !ok:
			all = append(all, name+" is missing")
		case g != w:
			at := 0
			for at < min(len(g), len(w)) && g[at] == w[at] {
				at++
			}
			all = append(all, fmt.Sprintf("%s differs from byte %d (%d bytes, want %d)", name, max(at-2, 0), len(g)-2, len(w)-2))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			all = append(all, name+" is too much")
		}
	}
	if len(all) > 6 {
		all = append(all[:6], fmt.Sprintf("and %d more", len(all)-6))
	}
	return strings.Join(all, "; ")
}

// files lists the regular files of a directory, relative, that match one of the patterns, in order; of no pattern, all.
func files(dir string, patterns ...string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return match(p, name) }) {
			names = append(names, name)
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

// match is filepath.Match by elements, with ** for any number of them.
func match(pattern, name string) bool {
	return matchElements(strings.Split(pattern, "/"), strings.Split(name, "/"))
}

func matchElements(p, n []string) bool {
	if len(p) == 0 {
		return len(n) == 0
	}
	if p[0] == "**" {
		return matchElements(p[1:], n) || len(n) > 0 && matchElements(p, n[1:])
	}
	if len(n) == 0 {
		return false
	}
	ok, err := filepath.Match(p[0], n[0])
	return err == nil && ok && matchElements(p[1:], n[1:])
}

// copyTree copies a directory, links as links.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o777)
		case d.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, b, 0o666)
	})
}

// leftovers are temporary files of writers that are gone.
func (t tree) leftovers() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(t)) {
		if strings.Contains(filepath.Base(name), ".tmp-") {
			names = append(names, name)
		}
	}
	return names
}

// isText says whether b is text that a terminal may be given: no control characters but tabs and ends of lines.
func isText(b []byte) bool {
	return bytes.IndexFunc(b, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 }) < 0
}
