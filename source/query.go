package source

import (
	"crypto/sha256"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synshard/synshard/source/list"
	"github.com/synshard/synshard/storage"
)

// signing are parameters of URLs that are a signature, or made anew with each, in small letters:
// of S3, Google Cloud Storage and what speaks like them, of CloudFront. What they sign is the rest
// of the URL, which alone says what is meant.
var signing = []string{"signature", "expires", "awsaccesskeyid", "googleaccessid", "ossaccesskeyid", "key-pair-id", "policy"}

// sas are those of Azure's shared access signatures, where "sig" is among them.
var sas = []string{"sig", "sv", "ss", "srt", "sp", "se", "st", "spr", "sip", "sr", "si", "ses", "scid", "sdd", "saoid", "suoid", "skoid", "sktid", "skt", "ske", "sks", "skv"}

// queryOf is what stands behind a URL's question mark and may say which image is meant: all but
// what is known as a signature, so that a new signature is of the same image. It is for
// comparing, and shown nowhere: signatures of other kinds may be in it.
func queryOf(url string) string {
	_, query, _ := strings.Cut(url, "?")
	azure := slices.ContainsFunc(strings.Split(query, "&"), func(p string) bool { return parameter(p) == "sig" })
	var kept []string
	for p := range strings.SplitSeq(query, "&") {
		k := parameter(p)
		if strings.HasPrefix(k, "x-amz-") || strings.HasPrefix(k, "x-goog-") || slices.Contains(signing, k) || azure && slices.Contains(sas, k) {
			continue
		}
		kept = append(kept, p)
	}
	return strings.Join(kept, "&")
}

// parameter is the name of one parameter of a query, in small letters.
func parameter(p string) string {
	k, _, _ := strings.Cut(p, "=")
	return strings.ToLower(k)
}

// apart gives images whose URLs differ only in their queries names that differ: by a digest, as
// nobody may see the queries. All other images keep their names, whatever is signed anew.
func (s *Set) apart() {
	asked := false
	s.eachFar(func(_ *Entry, f list.Found) { asked = asked || f.Query() != "" })
	if !asked {
		return
	}
	queries, several := map[string]string{}, map[string]bool{}
	s.eachFar(func(_ *Entry, f list.Found) {
		if first, ok := queries[f.Name()]; !ok {
			queries[f.Name()] = f.Query()
		} else if first != f.Query() {
			several[f.Name()] = true
		}
	})
	if len(several) == 0 {
		return
	}
	s.eachFar(func(e *Entry, f list.Found) {
		if several[f.Name()] && f.Query() != "" {
			e.Name += fmt.Sprintf("?%x", sha256.Sum256([]byte(f.Query())))[:1+2*digested]
		}
	})
}

// digested is how many bytes of a query's digest a name has: enough for as many images as there are.
const digested = 8

// eachFar calls f with the entries that were found by URLs of their own.
func (s *Set) eachFar(f func(*Entry, list.Found)) {
	for i := range s.entries {
		if l, ok := s.containers[s.entries[i].Container].(*list.List); ok {
			if far := l.Far(&s.entries[i]); far != nil {
				f(&s.entries[i], far)
			}
		}
	}
}

// Names is the path, or the URL, of what a list has by a name: two lists name one file by one.
func (i *Info) Names(name string) string {
	if storage.IsURL(name) {
		return name
	}
	if storage.IsURL(i.Path) {
		if url, err := storage.Beside(i.Path, name); err == nil {
			return url
		}
	}
	if filepath.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(filepath.ToSlash(filepath.Dir(i.Path)), name)
}
