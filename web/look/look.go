// Package look is what the pages of this project have in common: one style sheet, in the
// light, in the dark and on paper; what a class is called, how shares are written, and
// images made small.
package look

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"strings"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

//go:embed style.css
var style string

// Style is the style sheet, to stand in a <style> element or to be a file. It fetches
// nothing.
func Style() template.CSS { return template.CSS(style) }

// Label is a class: its Synset and, where they are known, its Words.
type Label struct{ Synset, Words string }

// String is the words, or the synset where there are none.
func (l Label) String() string { return cmp.Or(l.Words, l.Synset) }

// Short is the first of the words, or the synset where there are none.
func (l Label) Short() string {
	first, _, _ := strings.Cut(l.String(), ", ")
	return first
}

// Breaking is a name of a file that may go on in the next line where its parts end.
func Breaking(name string) template.HTML {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r == '.' {
			b.WriteString("<wbr>")
		}
		b.WriteString(template.HTMLEscapeString(string(r)))
		if strings.ContainsRune("/_-", r) {
			b.WriteString("<wbr>")
		}
	}
	return template.HTML(b.String())
}

var english = message.NewPrinter(language.English)

// Count writes a number with its thousands apart.
func Count(n any) string { return english.Sprint(n) }

// Percent writes a share, from 0 to 1.
func Percent(share float64) string { return fmt.Sprintf("%.2f\u00a0%%", 100*share) }
