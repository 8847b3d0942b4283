package hubcard

import (
	"testing"

	"github.com/goccy/go-yaml"
)

func TestQuoted(t *testing.T) {
	for _, s := range []string{"", "n01440764", "1:30", "no", "null", `a"b\c`, "a: b # c", "- x", "<&>", "é\u2028\t\n", "'"} {
		var got string
		if err := yaml.Unmarshal([]byte(Quoted(s)), &got); err != nil || got != s {
			t.Errorf("%q is read back as %q, %v", s, got, err)
		}
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"tench, Tinca tinca":        "tench, Tinca tinca",
		"a|b":                       `a\|b`,
		"<img src=x>":               `\<img src=x\>`,
		"[x](y)\nnext":              `\[x\]\(y\) next`,
		"**b** `c` _d_ $e$ ~f~ \\n": "\\*\\*b\\*\\* \\`c\\` \\_d\\_ \\$e\\$ \\~f\\~ \\\\n",
	} {
		if got := Text(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
