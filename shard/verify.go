package shard

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// SHA256 is the sum the sha256 column holds.
func SHA256(b []byte) [32]byte { return sha256.Sum256(b) }

// Problem is something wrong with a dataset. Image is "" where a whole file is
// meant.
type Problem struct {
	File  string `json:"file"`
	Image string `json:"image,omitempty"`
	What  string `json:"what"`
}

func (p Problem) String() string {
	if p.Image != "" {
		return p.File + ": image " + p.Image + ": " + p.What
	}
	return p.File + ": " + p.What
}

// VerifyOptions say how thoroughly, by how many workers, and whom to tell.
type VerifyOptions struct {
	Fast    bool // sizes of files and rows' places only
	Workers int
	OnRow   func(bytes int64) // called as images are checked, from many goroutines
}

// Verify holds every image to its crc32c and sha256, every index and the class
// table to the manifest's sums, and looks for shards that no index names. An
// error is one of reading; what is wrong comes as problems.
func (d *Dataset) Verify(ctx context.Context, o VerifyOptions) ([]Problem, error) {
	var mu sync.Mutex
	var problems []Problem
	report := func(file, image string, err error) {
		mu.Lock()
		defer mu.Unlock()
		problems = append(problems, Problem{file, image, reason(err)})
	}
	for _, name := range d.Splits() {
		s, err := d.Split(name)
		if errors.Is(err, ErrCorrupt) {
			report(name+"/"+IndexName, "", err)
			continue
		}
		if err != nil {
			return problems, err
		}
		if err := s.verify(ctx, o, report); err != nil {
			return problems, err
		}
	}
	return problems, nil
}

// reason is an error's text without the word every problem would carry.
func reason(err error) string {
	return strings.ReplaceAll(err.Error(), ": "+ErrCorrupt.Error(), "")
}

func (s *Split) verify(ctx context.Context, o VerifyOptions, report func(file, image string, err error)) error {
	named, err := s.sizes(report)
	if err != nil {
		return err
	}
	err = filepath.WalkDir(filepath.Join(s.d.Dir, s.Name), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(s.d.Dir, path)
		if rel = filepath.ToSlash(rel); err == nil && strings.HasSuffix(rel, ".arrow") && filepath.Base(rel) != IndexName && !named[rel] {
			report(rel, "", errors.New("no row of the index lies in it"))
		}
		return err
	})
	if err != nil || o.Fast {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(o.Workers, 1))
	const chunk = 256
	for from := 0; from < len(s.rows); from += chunk {
		g.Go(func() error {
			var buf []byte
			for i := from; i < min(from+chunk, len(s.rows)); i++ {
				if err := ctx.Err(); err != nil {
					return err
				}
				r := &s.rows[i]
				b, err := s.d.read(r, buf)
				switch {
				case errors.Is(err, ErrCorrupt):
					report(r.File, r.Path, errors.New("it does not have its crc32c, or goes past the end"))
				case err != nil:
					return err
				case SHA256(b) != r.SHA256:
					report(r.File, r.Path, errors.New("it does not have its sha256"))
				default:
					buf = b
				}
				if o.OnRow != nil {
					o.OnRow(r.Length)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// sizes checks that every row lies within its file, and gives the files that
// rows name.
func (s *Split) sizes(report func(file, image string, err error)) (map[string]bool, error) {
	ends, named := map[string]int64{}, map[string]bool{}
	for i := range s.rows {
		r := &s.rows[i]
		ends[r.File] = max(ends[r.File], r.Offset+r.Length)
		named[r.File] = true
	}
	for file, end := range ends {
		path := filepath.Join(s.d.Dir, filepath.FromSlash(file))
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			report(file, "", errors.New("it is missing"))
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.Size() < end {
			report(file, "", fmt.Errorf("it has %d bytes, the index names %d", info.Size(), end))
			continue
		}
		if err := checkFooter(path, info.Size()); err != nil {
			report(file, "", err)
		}
	}
	return named, nil
}

// checkFooter looks at both ends of an Arrow file.
func checkFooter(path string, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var head, tail [8]byte
	if _, err := f.ReadAt(head[:], 0); err != nil || string(head[:6]) != "ARROW1" {
		return errors.New("it does not begin as an Arrow file")
	}
	if _, err := f.ReadAt(tail[:6], size-6); err != nil || string(tail[:6]) != "ARROW1" {
		return errors.New("it does not end as an Arrow file")
	}
	return nil
}
