package wheel

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
)

// ErrChanged says that what was unpacked is not as it was unpacked any more.
var ErrChanged = errors.New("not as it was brought")

// listed is what a wheel's list of files says of a member.
type listed struct {
	sum  string // as RECORD has it
	size int64  // bytes
}

// record is a wheel's list of files.
func record(p Pin, z *zip.Reader) ([]byte, error) {
	n := slices.IndexFunc(z.File, func(m *zip.File) bool {
		return strings.HasSuffix(m.Name, ".dist-info/RECORD") && strings.Count(m.Name, "/") == 1
	})
	if n < 0 || z.File[n].UncompressedSize64 > mostRecord {
		return nil, fmt.Errorf("%s: no list of files (RECORD) in it: %w", p, ErrSum)
	}
	f, err := z.File[n].Open()
	if err != nil {
		return nil, asSum(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	return text, asSum(err)
}

func sumOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// sums reads a list of files, which is held to the pin: what it says of the
// wheel's members by their names.
func (p Pin) sums(list []byte) (map[string]listed, error) {
	if sumOf(list) != p.Record {
		return nil, fmt.Errorf("%s: its list of files (RECORD) has another sum: %w", p, ErrSum)
	}
	r := csv.NewReader(bytes.NewReader(list))
	r.FieldsPerRecord = 3 // name, sum, size
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: RECORD: %w", p, err)
	}
	sums := make(map[string]listed, len(rows))
	for _, row := range rows {
		sum, ok := strings.CutPrefix(row[1], "sha256=")
		size, err := strconv.ParseInt(row[2], 10, 64)
		if ok && err == nil {
			sums[row[0]] = listed{sum, size}
		}
	}
	return sums, nil
}

// recordPath is where a wheel's list of files is kept beside what was unpacked.
func (p Pin) recordPath(into string) string {
	return filepath.Join(into, p.Name+"-"+p.Version+".RECORD")
}

// keepRecord keeps a wheel's list of files, for Lies.
func (p Pin) keepRecord(into string, list []byte) error {
	path := p.recordPath(into)
	if was, err := regular.ReadFile(path, mostRecord); err == nil && bytes.Equal(was, list) {
		return nil
	}
	return durable.WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(list)
		return err
	})
}

// Lies says whether those members of the pinned wheel for which want is true
// lie below into as Unpack put them there: each is held to its sum. The error is
// fs.ErrNotExist where no Unpack ended there, and ErrChanged, naming the file, where one
// is missing or is not what it was.
func (p Pin) Lies(ctx context.Context, into string, want func(member string) bool) error {
	path := p.recordPath(into)
	list, err := regular.ReadFile(path, mostRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil || sumOf(list) != p.Record {
		return fmt.Errorf("%s: %w", path, ErrChanged)
	}
	sums, err := p.sums(list)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		if !want(name) {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if path := filepath.Join(into, filepath.FromSlash(name)); !whole(path, sums[name]) {
			return fmt.Errorf("%s: %w", path, ErrChanged)
		}
	}
	return nil
}

// whole says whether a member lies at path as it is in the wheel.
func whole(path string, m listed) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() != m.size {
		return false
	}
	f, _, err := regular.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return err == nil && encoded(h) == m.sum
}
