package storage_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/storagetest"
)

// TestOddKeys finds objects by the keys that others gave them, and does with them all that is done
// with objects.
func TestOddKeys(t *testing.T) {
	s := storagetest.Start(t)
	proxy := storagetest.Before(t, s, storagetest.Faults{})
	p := open(t, s.Via(proxy, "x"), storage.Options{})
	want := map[string]string{}
	for _, key := range []string{"a\tb", "a__0x2f__b", "__0x9__/c", "a..b", "a b+c%41ü#;=&"} {
		s.Put(t, "x/"+key, []byte("at "+key))
		want[key] = "at " + key
	}
	read := func() map[string]string {
		got := map[string]string{}
		list, err := p.List(t.Context(), "")
		check(t, err)
		for _, i := range list {
			o, err := p.OpenObject(t.Context(), i.Name)
			check(t, err)
			check(t, o.Unchanged())
			b := make([]byte, o.Size())
			if _, err = o.ReadAt(b, 0); err != nil {
				t.Error(err)
			}
			small, err := p.ReadFile(t.Context(), i.Name, 99)
			check(t, err)
			if string(small) != string(b) || i.ID != o.Info().ID {
				t.Errorf("%q is %q, %q", i.Name, b, small)
			}
			got[i.Name] = string(b)
		}
		return got
	}
	if diff := cmp.Diff(want, read()); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	if in, err := p.Entries(t.Context(), "__0x9__", 0); err != nil || len(in) != 1 || in[0].Name != "__0x9__/c" {
		t.Errorf("in a directory: %v, %v", in, err)
	}
	check(t, p.Write(t.Context(), "a\tb", []byte("new")))
	check(t, p.Copy(t.Context(), "a__0x41__b", "a\tb"))
	check(t, p.Remove(t.Context(), "a__0x2f__b"))
	check(t, p.RemoveMany(t.Context(), []string{"__0x9__/c", "a..b"}))
	if diff := cmp.Diff(map[string]string{"a\tb": "new", "a__0x41__b": "new", "a b+c%41ü#;=&": want["a b+c%41ü#;=&"]}, read()); diff != "" {
		t.Errorf("objects afterwards (-want +got):\n%s", diff)
	}
}
