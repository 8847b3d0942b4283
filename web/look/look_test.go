package look

import (
	"html/template"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBreaking(t *testing.T) {
	if d := cmp.Diff(template.HTML("a/<wbr>b_<wbr>c<wbr>.jpg"), Breaking("a/b_c.jpg")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(template.HTML("&lt;b&gt;&#34;&amp;"), Breaking(`<b>"&`)); d != "" {
		t.Error(d)
	}
}
