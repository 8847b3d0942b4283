package pickle

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/model"
)

// pickled are the pickles, protocols 0 to 5, that Python's pickle.dumps makes of
//
//	{"a": [1, -2, 300, 70000, -5, 1<<40, 1<<70], "t": (True, False, None), "f": 1.5, "s": "é", "b": b"\x00\xff",
//	 "n": {"x": {1, 2}}, "o": collections.OrderedDict(k=1), "long": (1, 2, 3, 4)}
var pickled = []string{
	"(dp0\nVa\np1\n(lp2\nI1\naI-2\naI300\naI70000\naI-5\naL1099511627776L\naL1180591620717411303424L\nasVt\np3\n(I01\nI00\nNtp4\nsVf\np5\nF1.5\nsVs\np6\nV\xe9\np7\nsVb\np8\nc_codecs\nencode\np9\n(V\\u0000\xff\np10\nVlatin1\np11\ntp12\nRp13\nsVn\np14\n(dp15\nVx\np16\nc__builtin__\nset\np17\n((lp18\nI1\naI2\natp19\nRp20\nssVo\np21\nccollections\nOrderedDict\np22\n(tRp23\nVk\np24\nI1\nssVlong\np25\n(I1\nI2\nI3\nI4\ntp26\ns.",
	"}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00J\xfb\xff\xff\xffL1099511627776L\nL1180591620717411303424L\neX\x01\x00\x00\x00tq\x03(I01\nI00\nNtq\x04X\x01\x00\x00\x00fq\x05G?\xf8\x00\x00\x00\x00\x00\x00X\x01\x00\x00\x00sq\x06X\x02\x00\x00\x00\xc3\xa9q\x07X\x01\x00\x00\x00bq\x08c_codecs\nencode\nq\x09(X\x03\x00\x00\x00\x00\xc3\xbfq\nX\x06\x00\x00\x00latin1q\x0btq\x0cRq\x0dX\x01\x00\x00\x00nq\x0e}q\x0fX\x01\x00\x00\x00xq\x10c__builtin__\nset\nq\x11(]q\x12(K\x01K\x02etq\x13Rq\x14sX\x01\x00\x00\x00oq\x15ccollections\nOrderedDict\nq\x16)Rq\x17X\x01\x00\x00\x00kq\x18K\x01sX\x04\x00\x00\x00longq\x19(K\x01K\x02K\x03K\x04tq\x1au.",
	"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00J\xfb\xff\xff\xff\x8a\x06\x00\x00\x00\x00\x00\x01\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00@eX\x01\x00\x00\x00tq\x03\x88\x89N\x87q\x04X\x01\x00\x00\x00fq\x05G?\xf8\x00\x00\x00\x00\x00\x00X\x01\x00\x00\x00sq\x06X\x02\x00\x00\x00\xc3\xa9q\x07X\x01\x00\x00\x00bq\x08c_codecs\nencode\nq\x09X\x03\x00\x00\x00\x00\xc3\xbfq\nX\x06\x00\x00\x00latin1q\x0b\x86q\x0cRq\x0dX\x01\x00\x00\x00nq\x0e}q\x0fX\x01\x00\x00\x00xq\x10c__builtin__\nset\nq\x11]q\x12(K\x01K\x02e\x85q\x13Rq\x14sX\x01\x00\x00\x00oq\x15ccollections\nOrderedDict\nq\x16)Rq\x17X\x01\x00\x00\x00kq\x18K\x01sX\x04\x00\x00\x00longq\x19(K\x01K\x02K\x03K\x04tq\x1au.",
	"\x80\x03}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00J\xfb\xff\xff\xff\x8a\x06\x00\x00\x00\x00\x00\x01\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00@eX\x01\x00\x00\x00tq\x03\x88\x89N\x87q\x04X\x01\x00\x00\x00fq\x05G?\xf8\x00\x00\x00\x00\x00\x00X\x01\x00\x00\x00sq\x06X\x02\x00\x00\x00\xc3\xa9q\x07X\x01\x00\x00\x00bq\x08C\x02\x00\xffq\x09X\x01\x00\x00\x00nq\n}q\x0bX\x01\x00\x00\x00xq\x0ccbuiltins\nset\nq\x0d]q\x0e(K\x01K\x02e\x85q\x0fRq\x10sX\x01\x00\x00\x00oq\x11ccollections\nOrderedDict\nq\x12)Rq\x13X\x01\x00\x00\x00kq\x14K\x01sX\x04\x00\x00\x00longq\x15(K\x01K\x02K\x03K\x04tq\x16u.",
	"\x80\x04\x95\xad\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00J\xfb\xff\xff\xff\x8a\x06\x00\x00\x00\x00\x00\x01\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00@e\x8c\x01t\x94\x88\x89N\x87\x94\x8c\x01f\x94G?\xf8\x00\x00\x00\x00\x00\x00\x8c\x01s\x94\x8c\x02\xc3\xa9\x94\x8c\x01b\x94C\x02\x00\xff\x94\x8c\x01n\x94}\x94\x8c\x01x\x94\x8f\x94(K\x01K\x02\x90s\x8c\x01o\x94\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94\x93\x94)R\x94\x8c\x01k\x94K\x01s\x8c\x04long\x94(K\x01K\x02K\x03K\x04t\x94u.",
	"\x80\x05\x95\xad\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00J\xfb\xff\xff\xff\x8a\x06\x00\x00\x00\x00\x00\x01\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00@e\x8c\x01t\x94\x88\x89N\x87\x94\x8c\x01f\x94G?\xf8\x00\x00\x00\x00\x00\x00\x8c\x01s\x94\x8c\x02\xc3\xa9\x94\x8c\x01b\x94C\x02\x00\xff\x94\x8c\x01n\x94}\x94\x8c\x01x\x94\x8f\x94(K\x01K\x02\x90s\x8c\x01o\x94\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94\x93\x94)R\x94\x8c\x01k\x94K\x01s\x8c\x04long\x94(K\x01K\x02K\x03K\x04t\x94u.",
}

func TestProtocols(t *testing.T) {
	for protocol, text := range pickled {
		r := NewReader([]byte(text + "rest"))
		v, err := r.Read()
		if err != nil {
			t.Errorf("protocol %d: %v", protocol, err)
			continue
		}
		if diff := cmp.Diff("rest", string(r.Rest())); diff != "" {
			t.Errorf("protocol %d: what follows: %s", protocol, diff)
		}
		d, ok := v.(*Dict)
		if !ok {
			t.Errorf("protocol %d: %T", protocol, v)
			continue
		}
		for key, want := range map[string]any{
			"a":    &List{[]any{int64(1), int64(-2), int64(300), int64(70000), int64(-5), int64(1 << 40), &Object{Class: "int"}}},
			"t":    Tuple{true, false, nil},
			"f":    1.5,
			"long": Tuple{int64(1), int64(2), int64(3), int64(4)},
		} {
			if diff := cmp.Diff(want, d.Get(key), cmp.AllowUnexported(Dict{})); diff != "" {
				t.Errorf("protocol %d: %s (-want +got)\n%s", protocol, key, diff)
			}
		}
		if o, ok := d.Get("o").(*Dict); !ok || o.Get("k") != int64(1) {
			t.Errorf("protocol %d: an ordered dictionary is %v", protocol, d.Get("o"))
		}
		if n, ok := d.Get("n").(*Dict); !ok || len(n.Keys) != 1 {
			t.Errorf("protocol %d: a dictionary with a set", protocol)
		} else if _, ok := n.Get("x").(*Object); !ok {
			t.Errorf("protocol %d: a set is %T", protocol, n.Get("x"))
		}
		if protocol > 0 && d.Get("s") != "é" || protocol > 2 && d.Get("b") != "\x00\xff" {
			t.Errorf("protocol %d: strings %q and %q", protocol, d.Get("s"), d.Get("b"))
		}
	}
}

// TestNothingIsRun: what would be a call is a name.
func TestNothingIsRun(t *testing.T) {
	v, err := NewReader([]byte("cos\nsystem\n(S'touch /tmp/x'\ntR.")).Read()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&Object{Class: "os.system"}, v, cmp.AllowUnexported(Dict{})); diff != "" {
		t.Error(diff)
	}
}

// TestDamage cuts and changes pickles: other values, or an error of one kind.
func TestDamage(t *testing.T) {
	for protocol, text := range pickled {
		for i := range text {
			for _, damaged := range []string{text[:i], text[:i] + string(text[i]^0x11) + text[i+1:]} {
				if _, err := NewReader([]byte(damaged)).Read(); err != nil && !errors.Is(err, model.ErrFormat) {
					t.Fatalf("protocol %d, byte %d: %v", protocol, i, err)
				}
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, text := range pickled {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(b)
		if _, err := r.Read(); err != nil && !errors.Is(err, model.ErrFormat) {
			t.Fatalf("an error of another kind: %v", err)
		}
		if len(r.Rest()) > len(b) {
			t.Fatal("it reads backwards")
		}
	})
}
