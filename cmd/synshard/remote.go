package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/synshard/synshard/internal/bench"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/cached"
	"github.com/synshard/synshard/storage/standin"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/runlog"
	"github.com/synshard/synshard/train/views"
	"github.com/synshard/synshard/wordnet"
)

// urlUse is what a verb does with a URL in the place of a path.
type urlUse int

const (
	urlRefused urlUse = iota // it takes none there
	urlInPlace               // it reads it where it is
	urlCopied                // it reads a copy, which is kept here by the object's state
	urlWritten               // it writes a file here, which becomes the object when it is whole
	urlSeveral               // it reads copies of all that a pattern or a prefix stands for
	urlOwned                 // it writes a directory there
	urlListed                // it reads all that lies there, where it is, and lists it
	urlClasses               // it reads copies of a list of classes, or of a dataset's classes
	urlRun                   // it reads copies of a file, or of what tells of a run
	urlWordNet               // it reads copies of WordNet's files
	urlTold                  // it reads a copy of a file, or of what a dataset or a run says of itself
	urlAddress               // it is no path: a server's address, which the verb checks
)

// urlUses says which arguments and flags of a verb may be URLs: the uses of the
// arguments in their order, the last one that of all further ones, and of the flags.
var urlUses = map[string]struct {
	args  []urlUse
	flags map[string]urlUse
}{
	"ls":      {args: []urlUse{urlInPlace}},
	"stats":   {args: []urlUse{urlInPlace}, flags: map[string]urlUse{"plot": urlWritten}},
	"classes": {args: []urlUse{urlInPlace}},
	"verify":  {args: []urlUse{urlListed}, flags: map[string]urlUse{"against": urlInPlace, "out": urlWritten}},
	"export":  {args: []urlUse{urlInPlace}, flags: map[string]urlUse{"out": urlOwned}},
	"ingest": {args: []urlUse{urlInPlace}, flags: map[string]urlUse{
		"train": urlInPlace, "val": urlInPlace, "test": urlInPlace, "folder": urlInPlace, "parquet": urlInPlace, "webdataset": urlInPlace, "kaggle": urlInPlace,
		"list": urlInPlace, "devkit": urlInPlace, "boxes": urlInPlace, "classes": urlClasses, "out": urlOwned,
	}},
	"train":          {args: []urlUse{urlInPlace}, flags: map[string]urlUse{"weights": urlCopied, "class-weights": urlCopied, "config": urlCopied, "out": urlOwned, "mlflow": urlAddress}},
	"infer":          {args: []urlUse{urlCopied, urlInPlace}, flags: map[string]urlUse{"out": urlWritten, "spec": urlCopied, "classes": urlClasses}},
	"eval":           {args: []urlUse{urlSeveral}, flags: map[string]urlUse{"only": urlCopied, "real": urlCopied, "classes": urlClasses, "arrow": urlOwned, "label-studio": urlOwned, "image-url": urlAddress}},
	"merge":          {args: []urlUse{urlSeveral}, flags: map[string]urlUse{"out": urlWritten}},
	"report":         {args: []urlUse{urlRun}, flags: map[string]urlUse{"data": urlInPlace, "classes": urlClasses, "out": urlWritten}},
	"serve":          {args: []urlUse{urlInPlace, urlCopied}, flags: map[string]urlUse{"classes": urlClasses, "heat": urlCopied}},
	"provenance":     {args: []urlUse{urlTold}},
	"setup":          {flags: map[string]urlUse{"index": urlAddress}},
	"bench loader":   {args: []urlUse{urlInPlace}},
	"bench infer":    {args: []urlUse{urlCopied}, flags: map[string]urlUse{"spec": urlCopied, "classes": urlClasses}},
	"bench train":    {flags: map[string]urlUse{"data": urlInPlace}},
	"model export":   {args: []urlUse{urlCopied}, flags: map[string]urlUse{"out": urlWritten}},
	"model import":   {args: []urlUse{urlCopied}, flags: map[string]urlUse{"classes": urlClasses, "out": urlWritten}},
	"model quantize": {args: []urlUse{urlCopied, urlInPlace}, flags: map[string]urlUse{"spec": urlCopied, "classes": urlClasses, "out": urlWritten}},
	"model card":     {args: []urlUse{urlCopied, urlCopied}, flags: map[string]urlUse{"out": urlWritten}},
	"model describe": {flags: map[string]urlUse{"out": urlWritten}},
}

// useOf is what a verb does with a URL as the value of a flag.
func useOf(verb, flag string) urlUse {
	if flag == "wordnet" { // of many verbs
		return urlWordNet
	}
	return urlUses[verb].flags[flag]
}

// besides are the endings of files that belong to another: weights beside a model, what
// is known beside predictions.
var besides = []string{".data", "_data", ".meta.json"}

// remoteFiles is what the verb reads and writes by URLs.
type remoteFiles struct {
	ctx        context.Context
	cacheDir   string // --cache-dir
	cacheBytes int64  // --cache-bytes; 0: mostKept
	paths      standin.Paths
	sets       map[*shard.Dataset]*cached.Files
	out        *storage.Place       // the directory at a URL that is written; nil: it is here
	runs       map[string]remoteRun // by the directory of what was copied
}

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

// checkURLs looks at every argument and flag that is a URL, and asks nothing of any: one that
// the verb does not take there is an error of usage.
func (a *app) checkURLs(cmd *cobra.Command, args []string) error {
	urls := 0
	err := eachURL(cmd, args, func(name string, use urlUse) (string, error) {
		urls++
		return checkURL(name, use)
	})
	if err != nil {
		return err
	}
	return a.checkKept(cmd, urls)
}

// settleURLs has files of URLs copied or, where they are written, stand for them.
func (a *app) settleURLs(cmd *cobra.Command, args []string) error {
	a.remote.ctx, a.remote.sets = cmd.Context(), map[*shard.Dataset]*cached.Files{}
	a.remote.runs = map[string]remoteRun{}
	nothing := writesNothing(cmd)
	return eachURL(cmd, args, func(name string, use urlUse) (string, error) {
		if use == urlWritten && nothing {
			_, base := storage.Split(name)
			return base, nil // whose ending counts
		}
		return a.settleURL(name, use)
	})
}

// eachURL calls with with all arguments and flags that are URLs, and takes what it gives in
// the place of each. Errors name the flag.
func eachURL(cmd *cobra.Command, args []string, with func(name string, use urlUse) (string, error)) error {
	settle := func(what, name string, use urlUse) (string, error) {
		to, err := with(name, use)
		if err != nil && what != "" {
			err = fmt.Errorf("%s: %w", what, err)
		}
		return to, err
	}
	verb := verbOf(cmd)
	uses := urlUses[verb]
	for i, arg := range args {
		use := urlRefused
		if len(uses.args) > 0 {
			use = uses.args[min(i, len(uses.args)-1)]
		}
		if !storage.IsURL(arg) {
			continue
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
				if !storage.IsURL(v) {
					continue
				}
				to, err := settle("--"+f.Name, v, useOf(verb, f.Name))
				if err == nil {
					values[i] = to
				}
				failed = cmp.Or(failed, err)
			}
			return
		}
		if v := f.Value.String(); storage.IsURL(v) && useOf(verb, f.Name) != urlAddress {
			to, err := settle("--"+f.Name, v, useOf(verb, f.Name))
			if err == nil && to != v {
				err = f.Value.Set(to)
			}
			failed = cmp.Or(failed, err)
		}
	})
	return failed
}

// checkKept looks at the flags that say where copies lie, and how much of them.
func (a *app) checkKept(cmd *cobra.Command, urls int) error {
	if a.remote.cacheBytes < 0 {
		return usagef("--cache-bytes %d: want 0 or more", a.remote.cacheBytes)
	}
	for _, name := range []string{"cache-dir", "cache-bytes"} {
		if urls == 0 && cmd.Flags().Changed(name) {
			return usagef("--%s has no effect without a URL", name)
		}
	}
	return nil
}

// checkURL wants a URL to be one that can be used so; what it is worth is not asked.
func checkURL(name string, use urlUse) (string, error) {
	if err := storage.Check(name); err != nil {
		return "", withCode(exitUsage, err)
	}
	switch use {
	case urlRefused:
		return "", usagef("%s: a URL is not taken here; give a local path", storage.Shown(name))
	case urlWritten, urlOwned:
		return name, storage.Writable(name)
	case urlListed:
		if storage.Writable(name) != nil {
			return "", usagef("%s: a web server does not list what it has; give a bucket's URL, or a local path", storage.Shown(name))
		}
	}
	return name, nil
}

// settleURL gives what the verb reads or writes in the place of a URL.
func (a *app) settleURL(name string, use urlUse) (path string, err error) {
	r := &a.remote
	r.paths.Besides = besides
	if r.paths.Dir, err = r.kept(); err != nil {
		return "", err
	}
	switch use {
	case urlCopied:
		return r.paths.Copy(r.ctx, name)
	case urlWritten:
		if err := a.probe(name); err != nil {
			return "", err
		}
		return r.paths.File(r.ctx, name)
	case urlClasses:
		return r.copyOrNamed(name, shard.ManifestName, shard.ClassesName)
	case urlRun:
		return r.copyRun(name)
	case urlTold:
		return r.copyTold(name)
	case urlWordNet:
		return r.paths.Named(r.ctx, name, wordnet.Files...)
	}
	return name, nil
}

// remoteRun is what is known of a run at a URL whose checkpoints stay there.
type remoteRun struct {
	newest checkpoint.Position // where its newest checkpoint stands; zero: there is none
	err    error               // why that is not known
}

// copyRun copies a file, or what tells of a run. Where its newest checkpoint stands is asked
// first: the log that is copied then has what it tells, though the run goes on.
func (r *remoteFiles) copyRun(url string) (string, error) {
	newest, err := r.newestAt(url)
	path, cerr := r.copyOrNamed(url, runlog.Name, "config.yaml")
	if cerr == nil {
		r.runs[path] = remoteRun{newest, err}
	}
	return path, cerr
}

// newestAt reads where the newest checkpoint below a URL stands, from the head of its file.
func (r *remoteFiles) newestAt(url string) (newest checkpoint.Position, err error) {
	if err := storage.Writable(url); err != nil {
		return newest, errors.New("a web server does not list checkpoints")
	}
	at, err := r.paths.Place(r.ctx, url)
	if err != nil {
		return newest, err
	}
	all, err := at.List(r.ctx, checkpoint.Dir+"/")
	if err != nil {
		return newest, err
	}
	byName := map[string]storage.Info{}
	for _, i := range all {
		byName[i.Name] = i
	}
	name, ok := checkpoint.NewestOf(slices.Collect(maps.Keys(byName)))
	if !ok {
		return newest, nil
	}
	o := at.Listed(r.ctx, byName[name])
	if newest, err = checkpoint.ReadPosition(o, o.Size()); err != nil {
		return newest, fmt.Errorf("%s: %w", o.Path(), err)
	}
	return newest, nil
}

// copyOrNamed copies the file at a URL or, where the first of some files lies below it, these
// into a directory.
func (r *remoteFiles) copyOrNamed(url string, names ...string) (string, error) {
	at, err := r.paths.Place(r.ctx, url)
	if err != nil {
		return "", err
	}
	_, err = at.Stat(r.ctx, names[0])
	switch {
	case err == nil:
	case r.ctx.Err() != nil, storage.Passing(err):
		return "", err
	default: // some servers say more of a name below a file than that it is not there
		return r.paths.Copy(r.ctx, url)
	}
	return r.paths.Named(r.ctx, url, names...)
}

// copyTold copies a dataset's manifest, what tells of a run, with the models that it made, or a
// file.
func (r *remoteFiles) copyTold(url string) (string, error) {
	at, err := r.paths.Place(r.ctx, url)
	if err != nil {
		return "", err
	}
	if _, err := at.Stat(r.ctx, shard.ManifestName); err == nil {
		return r.paths.Named(r.ctx, url, shard.ManifestName)
	} else if r.ctx.Err() != nil || storage.Passing(err) {
		return "", err
	}
	return r.copyOrNamed(url, runlog.Name, "config.yaml", "model.onnx", "model.safetensors")
}

// copies are paths, with copies of what URLs among them stand for.
func (a *app) copies(names []string) (paths []string, err error) {
	for _, name := range names {
		some := []string{name}
		if storage.IsURL(name) {
			if some, err = a.remote.paths.Copies(a.remote.ctx, name); err != nil {
				return nil, err
			}
		}
		paths = append(paths, some...)
	}
	return paths, nil
}

// mostKept is how much of the disk what is kept of URLs may take, unless --cache-bytes
// says it.
const mostKept = 64 << 30

// closeURLs lets connections go, and what was used longest ago where too much is kept.
func (a *app) closeURLs() {
	r := &a.remote
	for _, f := range r.sets {
		f.Close()
	}
	r.paths.Close()
	if r.paths.Dir == "" {
		return
	}
	if err := cached.Trim(r.paths.Dir, cmp.Or(r.cacheBytes, mostKept)); err != nil {
		a.Warnf("%v", err)
	}
}

// keepImages keeps what is measured on as a run keeps it.
func (a *app) keepImages(m *bench.Images) (loader.Advisor, error) {
	f := a.remote.sets[m.Set]
	if err := f.Keep(views.KeptName(m.Set), cmp.Or(a.remote.cacheBytes, mostKept)); err != nil {
		return nil, err
	}
	n := m.Len() // which are read over and over
	return views.Advise(f, n, func(i int) shard.Row { return m.Row(i % n) }, false), nil
}

// Logf is Console.Logf, in which paths that stand for URLs are these, as in the next.
func (a *app) Logf(format string, args ...any) {
	a.Console.Logf("%s", a.remote.paths.Shown(fmt.Sprintf(format, args...)))
}

// Warnf is Console.Warnf.
func (a *app) Warnf(format string, args ...any) {
	a.Console.Warnf("%s", a.remote.paths.Shown(fmt.Sprintf(format, args...)))
}

// Result is Console.Result, in which paths that stand for URLs are these.
func (a *app) Result(v any, print func(io.Writer)) error {
	if !a.remote.paths.Any() {
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
	_, err = io.WriteString(out, a.remote.paths.Shown(b.String()))
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
			switch _, err := os.Stat(filepath.Join(name, file)); {
			case err == nil:
				return true, nil
			case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR): // the name is a file's
				return false, err
			}
			continue
		}
		p, err := a.remote.paths.Place(a.remote.ctx, name)
		if err != nil {
			return false, err
		}
		web := storage.Writable(name) != nil
		switch info, err := p.Stat(a.remote.ctx, file); {
		case err == nil && (!web || a.begins(p, info)):
			return true, nil
		case err == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), web && a.remote.ctx.Err() == nil && !storage.Passing(err):
		default:
			return false, err
		}
	}
	return false, nil
}

// begins says whether a file of a dataset begins as such a file does: some web servers have an
// answer of their own to whatever they do not have.
func (a *app) begins(p *storage.Place, info storage.Info) bool {
	object, err := p.OpenObject(a.remote.ctx, info.Name)
	if err != nil {
		return false
	}
	b := make([]byte, 6)
	n, _ := object.ReadAt(b, 0)
	if info.Name == shard.ManifestName {
		return bytes.HasPrefix(bytes.TrimSpace(b[:n]), []byte("{"))
	}
	return string(b[:n]) == "ARROW1"
}

// storageFigures are those of the datasets that were read by URLs; nil where none was.
func (a *app) storageFigures() (all []cached.Figures) {
	for _, f := range a.remote.sets {
		all = append(all, f.Figures())
	}
	return all
}

// outFigures are those of the directory at a URL that was written; nil where it is here.
func (a *app) outFigures() *storage.Figures {
	if a.remote.out == nil {
		return nil
	}
	f := a.remote.out.Figures()
	return &f
}

// tellWaiting says that a bucket or a web server does not answer as it should, and is asked again.
func (a *app) tellWaiting(w storage.Waiting) {
	a.Console.Warnf("%s: %v; it is asked again until %s", w.Place, w.Err, w.Until.Format(time.TimeOnly))
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
