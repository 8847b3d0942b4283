package setup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/wordnet"
)

// wordNetFiles are what is read of WordNet, and its licence.
var wordNetFiles = []string{"data.noun", "index.noun", "noun.exc", "LICENSE"}

const (
	mostWordNet = 1 << 30 // bytes of one of its files

	howWordNet = "install the package wordnet-base, or give --wordnet-from FILE: that package (.deb), or WNdb-3.0.tar.gz of WordNet's own site"
)

// wordNet finds WordNet 3.0, or puts it below Lib.
func (r run) wordNet(ctx context.Context) (Done, error) {
	d := Done{Part: WordNet, Path: filepath.Join(r.Lib, "wordnet")}
	switch {
	case r.WordNet != "":
		r.Say(WordNet, "taking it from "+r.WordNet)
		d.Brought = true
		if err := r.takeWordNet(ctx, r.WordNet, d.Path); err != nil {
			return d, err
		}
	case r.Found != "" && !r.damagedWordNet(d.Path):
		d.Path = r.Found
	default:
		d.Brought = true
		if err := r.downloadWordNet(ctx, d.Path); err != nil {
			return d, err
		}
	}
	g, err := wordnet.Open(d.Path)
	if err != nil {
		return d, err
	}
	d.Version = g.Version()
	r.Say(WordNet, d.Version+" is in "+d.Path)
	return d, nil
}

// damagedWordNet says that what was found is what was brought here once, and no longer is
// what its sums say.
func (r run) damagedWordNet(brought string) bool {
	if r.Found != brought {
		return false
	}
	_, err := wordnet.Open(brought)
	if !errors.Is(err, wordnet.ErrDamaged) {
		return false
	}
	r.Say(WordNet, err.Error())
	return true
}

// downloadWordNet lets the system's package manager fetch the package, which
// needs no root, and takes the files out of it.
func (r run) downloadWordNet(ctx context.Context, into string) error {
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return unfit("it is not here; %s", howWordNet)
	}
	dir, err := os.MkdirTemp(r.Cache, "wordnet.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r.Say(WordNet, "downloading the package wordnet-base")
	if err := download(ctx, apt, dir); err != nil {
		return err
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(found) != 1 {
		return unfit("apt-get download wordnet-base brought %d files", len(found))
	}
	return r.takeWordNet(ctx, found[0], into)
}

// download fetches the package into dir. Where the system has no list of
// packages, one is fetched besides, and kept in dir alone.
func download(ctx context.Context, apt, dir string) error {
	run := func(args ...string) error {
		cmd := exec.CommandContext(ctx, apt, append([]string{"-qq"}, args...)...)
		cmd.Dir = dir
		if text, err := cmd.CombinedOutput(); err != nil {
			return unfit("apt-get download wordnet-base: %s; %s", lastLine(text, err), howWordNet)
		}
		return nil
	}
	if run("download", "wordnet-base") == nil {
		return nil
	}
	lists, cache := filepath.Join(dir, "lists"), filepath.Join(dir, "cache")
	for _, d := range []string{filepath.Join(lists, "partial"), filepath.Join(cache, "archives", "partial")} {
		if err := durable.MkdirAll(d); err != nil {
			return err
		}
	}
	own := []string{"-o", "Dir::State::lists=" + lists, "-o", "Dir::Cache=" + cache, "-o", "Debug::NoLocking=1"}
	if err := run(append(own, "update")...); err != nil {
		return err
	}
	return run(append(own, "download", "wordnet-base")...)
}

// lastLine is the last line of what a command printed, or why it did not run.
func lastLine(text []byte, err error) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return err.Error()
}

// takeWordNet copies WordNet's files from a directory, a .deb or a .tar.gz, if
// they are WordNet 3.0's; else what was there stays.
func (r run) takeWordNet(ctx context.Context, from, into string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	aside, err := os.MkdirTemp(r.Lib, ".wordnet.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(aside)
	switch {
	case info.IsDir():
		err = copyWordNet(from, from, aside)
	case strings.HasSuffix(from, ".deb"):
		err = r.takeDeb(ctx, from, aside)
	default:
		err = takeTar(from, aside)
	}
	if err != nil {
		return err
	}
	if err := sumWordNet(aside); err != nil {
		return err
	}
	if _, err := wordnet.Open(aside); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	if err := errors.Join(os.Chmod(aside, 0o755), os.RemoveAll(into)); err != nil {
		return err
	}
	return os.Rename(aside, into)
}

// sumWordNet writes the list of sums that every use of the files is held to.
func sumWordNet(dir string) error {
	var list strings.Builder
	for _, name := range wordNetFiles {
		sum, err := regular.SHA256(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(&list, "%s  %s\n", sum, name)
	}
	return durable.WriteFile(filepath.Join(dir, wordnet.SumsName), func(w io.Writer) error {
		_, err := io.WriteString(w, list.String())
		return err
	})
}

func (r run) takeDeb(ctx context.Context, from, into string) error {
	dir, err := os.MkdirTemp(r.Cache, "wordnet.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if from, err = filepath.Abs(from); err != nil {
		return err
	}
	if text, err := exec.CommandContext(ctx, "dpkg-deb", "-x", from, dir).CombinedOutput(); err != nil {
		return unfit("dpkg-deb -x %s: %s", from, lastLine(text, err))
	}
	return copyWordNet(dir, from, into)
}

// copyWordNet copies WordNet's files from wherever they lie below a directory,
// which came from what name names.
func copyWordNet(dir, name, into string) error {
	took := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !slices.Contains(wordNetFiles, d.Name()) {
			return err
		}
		f, _, err := regular.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		took++
		return keepWordNet(f, d.Name(), into)
	})
	return errors.Join(err, noneTaken(took, name))
}

func takeTar(from, into string) error {
	f, _, err := regular.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%s: want a directory, a .deb or a .tar.gz: %w", from, err)
	}
	took := 0
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err == io.EOF {
			return noneTaken(took, from)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		if base := path.Base(h.Name); h.Typeflag == tar.TypeReg && slices.Contains(wordNetFiles, base) {
			took++
			if err := keepWordNet(t, base, into); err != nil {
				return err
			}
		}
	}
}

func noneTaken(took int, from string) error {
	if took == 0 {
		return unfit("%s: none of WordNet's files in it", from)
	}
	return nil
}

func keepWordNet(from io.Reader, name, into string) error {
	if err := durable.MkdirAll(into); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(into, name), func(w io.Writer) error {
		n, err := io.Copy(w, io.LimitReader(from, mostWordNet+1))
		if err == nil && n > mostWordNet {
			err = unfit("%s is larger than WordNet's", name)
		}
		return err
	})
}
