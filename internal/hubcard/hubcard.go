// Package hubcard writes text as cards of Hugging Face's hub have it: YAML for its tools
// in front, Markdown for people below.
package hubcard

import (
	"encoding/json"
	"strings"

	"github.com/synshard/synshard/internal/utf8name"
)

// Quoted is text as a value of YAML. It is always quoted: without, readers of YAML 1.1 take
// 1:30 for a number and no for false.
func Quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil { // text is always written
		panic(err)
	}
	return string(b)
}

// Text is text in a line of Markdown, or a cell of its tables, that means nothing but itself.
func Text(s string) string {
	var b strings.Builder
	for _, r := range utf8name.Escape(s) {
		switch {
		case r < ' ' || r == 0x7f:
			r = ' '
		case strings.ContainsRune("\\`*_{}[]<>()#|&~!$", r):
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
