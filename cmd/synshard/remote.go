package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/cached"
	"github.com/synshard/synshard/train"
)

// urlUse is what a verb does with a URL in the place of a path.
type urlUse int

const (
	urlRefused urlUse = iota // it takes none there
	urlInPlace               // it reads it where it is
	urlCopied                // it reads a copy, which is kept here by the object's state
	urlWritten               // it writes a file here, which becomes the object when it is whole
)

// urlUses says which arguments and flags of a verb may be URLs: the uses of the
// arguments in their order, the last one that of all further ones, and of the flags.
var urlUses = map[string]struct {
	args  []urlUse
	flags map[string]urlUse
}{
	"ls":      {args: []urlUse{urlInPlace}},
	"classes": {args: []urlUse{urlInPlace}},
	"export":  {args: []urlUse{urlInPlace}},
	"ingest": {args: []urlUse{urlInPlace}, flags: map[string]urlUse{
		"train": urlInPlace, "val": urlInPlace, "test": urlInPlace, "folder": urlInPlace, "parquet": urlInPlace, "webdataset": urlInPlace, "kaggle": urlInPlace,
		"devkit": urlInPlace, "boxes": urlInPlace, "classes": urlCopied,
	}},
	"train":          {args: []urlUse{urlInPlace}, flags: map[string]urlUse{"weights": urlCopied, "config": urlCopied}},
	"infer":          {args: []urlUse{urlCopied, urlInPlace}, flags: map[string]urlUse{"out": urlWritten, "spec": urlCopied, "classes": urlCopied}},
	"eval":           {args: []urlUse{urlCopied}, flags: map[string]urlUse{"only": urlCopied, "real": urlCopied, "classes": urlCopied}},
	"merge":          {args: []urlUse{urlCopied}, flags: map[string]urlUse{"out": urlWritten}},
	"model export":   {args: []urlUse{urlCopied}, flags: map[string]urlUse{"out": urlWritten}},
	"model import":   {args: []urlUse{urlCopied}, flags: map[string]urlUse{"out": urlWritten}},
	"model quantize": {args: []urlUse{urlCopied, urlInPlace}, flags: map[string]urlUse{"out": urlWritten}},
}

// remoteFiles is what the verb reads and writes by URLs.
type remoteFiles struct {
	ctx      context.Context
	cacheDir string // --cache-dir
	places   []*storage.Place
	sets     map[*shard.Dataset]*cached.Files
	names    []stand  // in for URLs
	copies   []string // directories of what was copied here
	publish  []stand  // are written when the verb is done
}

// stand is a path here that stands for a URL.
type stand struct{ path, url string }

// kept is the directory in which copies and caches lie.
func (r *remoteFiles) kept() (string, error) {
	if r.cacheDir != "" {
		return r.cacheDir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", usagef("--cache-dir is needed, to keep what is read from URLs: %w", err)
	}
	return filepath.Join(dir, "synshard", "urls"), nil
}

// settleURLs looks at every argument and flag that is a URL: one that the verb does not
// take there is an error of usage; files are copied or, where they are written, stand
// for it.
func (a *app) settleURLs(cmd *cobra.Command, args []string) error {
	a.remote.ctx, a.remote.sets = cmd.Context(), map[*shard.Dataset]*cached.Files{}
	uses, urls := urlUses[verbOf(cmd)], 0
	settle := func(what, name string, use urlUse) (string, error) {
		if !storage.IsURL(name) {
			return name, nil
		}
		urls++
		to, err := a.settleURL(name, use)
		if err != nil && what != "" {
			err = fmt.Errorf("%s: %w", what, err)
		}
		return to, err
	}
	for i, arg := range args {
		use := urlRefused
		if len(uses.args) > 0 {
			use = uses.args[min(i, len(uses.args)-1)]
		}
		var err error
		if args[i], err = settle("", arg, use); err != nil {
			return err
		}
	}
	var failed error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values := list.GetSlice()
			for i, v := range values {
				var err error
				if values[i], err = settle("--"+f.Name, v, uses.flags[f.Name]); err != nil {
					failed = cmp.Or(failed, err)
				}
			}
			return
		}
		if v := f.Value.String(); storage.IsURL(v) {
			to, err := settle("--"+f.Name, v, uses.flags[f.Name])
			if err == nil && to != v {
				err = f.Value.Set(to)
			}
			failed = cmp.Or(failed, err)
		}
	})
	if failed == nil && urls == 0 && cmd.Flags().Changed("cache-dir") {
		return usagef("--cache-dir has no effect without a URL")
	}
	return failed
}

func (a *app) settleURL(name string, use urlUse) (string, error) {
	if err := storage.Check(name); err != nil {
		return "", withCode(exitUsage, err)
	}
	switch use {
	case urlInPlace:
		return name, nil
	case urlCopied:
		return a.copyHere(name)
	case urlWritten:
		return a.standFor(name)
	}
	return "", usagef("%s: a URL is not taken here; give a local path", storage.Shown(name))
}

// openPlace opens a place that is closed when the verb ends.
func (a *app) openPlace(url string) (*storage.Place, error) {
	p, err := storage.Open(a.remote.ctx, url, storage.Options{})
	if err == nil {
		a.remote.places = append(a.remote.places, p)
	}
	return p, err
}

// besides are the endings of files that belong to another: weights beside a model, what
// is known beside predictions.
var besides = []string{"", ".data", "_data", ".meta.json"}

// copyHere copies the file at a URL, and those that belong to it, and gives the path.
// What is here in the same state of them all is not copied again.
func (a *app) copyHere(url string) (string, error) {
	kept, err := a.remote.kept()
	if err != nil {
		return "", err
	}
	dir, base := storage.Split(url)
	if base == "" || base == "." || base != filepath.Base(base) || !filepath.IsLocal(base) {
		return "", usagef("%s: %q is no file's name", storage.Shown(url), base)
	}
	at, err := a.openPlace(dir)
	if err != nil {
		return "", err
	}
	objects, state := map[string]*storage.Object{}, url
	for _, end := range besides {
		o, err := at.OpenObject(a.remote.ctx, base+end)
		if end != "" && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		objects[end] = o
		state += "\n" + end + " " + o.Info().ID
	}
	local := filepath.Join(kept, "copies", fmt.Sprintf("%x", sha256.Sum256([]byte(state)))[:32])
	if err := durable.MkdirAll(local); err != nil {
		return "", err
	}
	for end, o := range objects {
		if err := cached.Copy(o, filepath.Join(local, base+end)); err != nil {
			return "", err
		}
	}
	path := filepath.Join(local, base)
	a.remote.names = append(a.remote.names, stand{path, storage.Shown(url)})
	a.remote.copies = append(a.remote.copies, local)
	return path, nil
}

// forgetCopies removes the copies of a verb that found something damaged: what came damaged
// over the network is copied anew by the next call.
func (a *app) forgetCopies() {
	for _, dir := range a.remote.copies {
		if err := os.RemoveAll(dir); err != nil {
			a.Warnf("what was copied from a URL is damaged, and cannot be removed: %v", err)
		}
	}
}

// fetch copies an object into a file, which is whole or absent.
func fetch(o *storage.Object, to string) error {
	return durable.WriteFile(to, func(w io.Writer) error {
		_, err := io.Copy(w, o.Reader())
		return err
	})
}

// standFor gives the path of a file that stands for a URL until it is whole: what is at
// the URL, so that a verb finds what it made, or what a killed call left here.
func (a *app) standFor(url string) (string, error) {
	if err := storage.Writable(url); err != nil {
		return "", withCode(exitUsage, err)
	}
	kept, err := a.remote.kept()
	if err != nil {
		return "", err
	}
	dir, base := storage.Split(url)
	local := filepath.Join(kept, "written", fmt.Sprintf("%x", sha256.Sum256([]byte(url)))[:32])
	if err := durable.MkdirAll(local); err != nil {
		return "", err
	}
	path := filepath.Join(local, base)
	entries, err := os.ReadDir(local)
	if err != nil {
		return "", err
	}
	at, err := a.openPlace(dir)
	if err != nil {
		return "", err
	}
	for _, end := range besides {
		if len(entries) > 0 { // a killed call's, which goes on
			break
		}
		o, err := at.OpenObject(a.remote.ctx, base+end)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		if err := fetch(o, path+end); err != nil {
			return "", err
		}
	}
	a.remote.names = append(a.remote.names, stand{path, storage.Shown(url)})
	a.remote.publish = append(a.remote.publish, stand{path, url})
	return path, nil
}

// publishURLs makes the objects that files stand for, of a verb that is done.
func (a *app) publishURLs(ctx context.Context) error {
	for _, s := range a.remote.publish {
		dir, base := storage.Split(s.url)
		at, err := a.openPlace(dir)
		if err != nil {
			return err
		}
		for i := len(besides) - 1; i >= 0; i-- { // the file itself last
			if _, err := os.Stat(s.path + besides[i]); err != nil && i > 0 {
				continue
			}
			if err := at.Put(ctx, base+besides[i], s.path+besides[i]); err != nil {
				return err
			}
		}
		if err := os.RemoveAll(filepath.Dir(s.path)); err != nil {
			return err
		}
	}
	return nil
}

// closeURLs lets connections go.
func (a *app) closeURLs() {
	for _, f := range a.remote.sets {
		f.Close()
	}
	for _, p := range a.remote.places {
		p.Close()
	}
}

// shown is a text with URLs in the place of the paths that stand for them.
func (a *app) shown(text string) string {
	for _, s := range a.remote.names {
		text = strings.ReplaceAll(text, s.path, s.url)
	}
	return text
}

// Result is Console.Result, in which paths that stand for URLs are these.
func (a *app) Result(v any, print func(io.Writer)) error {
	if len(a.remote.names) == 0 {
		return a.Console.Result(v, print)
	}
	var b bytes.Buffer
	out := a.Stdout
	a.Stdout = &b
	err := a.Console.Result(v, print)
	a.Stdout = out
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, a.shown(b.String()))
	return err
}

// openSet opens a dataset in a directory or at a URL.
func (a *app) openSet(name string) (*shard.Dataset, error) {
	if !storage.IsURL(name) {
		return shard.Open(name)
	}
	kept, err := a.remote.kept()
	if err != nil {
		return nil, err
	}
	f, err := cached.Open(a.remote.ctx, name, kept, storage.Options{})
	if err != nil {
		return nil, err
	}
	set, err := shard.OpenRemote(storage.Shown(name), f)
	if err != nil {
		f.Close()
		return nil, err
	}
	a.remote.sets[set] = f
	return set, nil
}

// isSet says whether a dataset, or what is left of one, is at a name.
func (a *app) isSet(name string) (bool, error) {
	for _, file := range []string{shard.ManifestName, shard.ClassesName} {
		if !storage.IsURL(name) {
			if _, err := os.Stat(filepath.Join(name, file)); err == nil {
				return true, nil
			}
			continue
		}
		p, err := a.openPlace(name)
		if err != nil {
			return false, err
		}
		if _, err := p.Stat(a.remote.ctx, file); err == nil {
			return true, nil
		} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return false, err
		}
	}
	return false, nil
}

// storageFigures are those of the datasets that were read by URLs; nil where none was.
func (a *app) storageFigures() (all []cached.Figures) {
	for _, f := range a.remote.sets {
		all = append(all, f.Figures())
	}
	return all
}

// tellURLs says what was asked of datasets at URLs.
func (a *app) tellURLs() {
	for set, f := range a.remote.sets {
		n := f.Figures()
		kept := ""
		if n.Hits+n.Misses > 0 {
			kept = fmt.Sprintf("; %d of %d images were in the cache", n.Hits, n.Hits+n.Misses)
		}
		a.Logf("%s: %d requests (%d again), %d bytes read%s", set.Dir, n.Requests, n.Retries, n.Bytes, kept)
		if err := f.Trouble(); err != nil {
			a.Warnf("%v; images were read without it", err)
		}
	}
}

// rowKeeper has a dataset's rows fetched before they are read, and kept until others
// are read sooner.
type rowKeeper struct {
	files *cached.Files
	row   func(i int) shard.Row
	last  bool // nothing is known of when a row is read next: all others are kept rather
}

func (k rowKeeper) WillNeed(i int) {
	r := k.row(i)
	k.files.Want(r.File, r.Offset, r.Length)
}

func (k rowKeeper) DontNeed(int) {}

func (k rowKeeper) Keep(i int, next int64) {
	if k.last {
		next = math.MaxInt64 - 1
	}
	r := k.row(i)
	k.files.Used(r.File, r.Offset, next)
}

// keepRows keeps the images of a run in a cache of so many bytes: those to train on in
// the order in which they will be asked for, those to validate on where there is room.
func (a *app) keepRows(set *shard.Dataset, bytes int64, l *train.Loaded, rows *shard.View) error {
	f := a.remote.sets[set]
	if err := f.Keep(set.Manifest.SHA256[:min(len(set.Manifest.SHA256), 32)], bytes); err != nil {
		return err
	}
	keeper := func(n int, row func(int) shard.Row, last bool) rowKeeper {
		for i := range n {
			r := row(i)
			f.Adopt(r.File, r.Offset, r.Length, math.MaxInt64-1)
		}
		return rowKeeper{f, row, last}
	}
	l.TrainOptions.Advisor = keeper(rows.Len(), rows.Row, false)
	if val, ok := l.ValSource.(interface{ Row(int) shard.Row }); ok {
		l.ValOptions.Advisor = keeper(l.ValSource.Len(), val.Row, true)
	}
	return nil
}
