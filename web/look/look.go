// Package look is how the pages of this project look: one style sheet, in the light, in the
// dark and on paper.
package look

import (
	_ "embed"
	"html/template"
)

//go:embed style.css
var style string

// Style is the style sheet, to stand in a <style> element or to be a file. It fetches
// nothing.
func Style() template.CSS { return template.CSS(style) }
