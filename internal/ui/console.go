// Package ui is how verbs speak: the result on stdout as text or JSON, talk
// and progress on stderr as lines, a bar or JSON objects. What a name holds
// never reaches a terminal as it is; see Text.
package ui

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// Modes are the values of --progress.
var Modes = []string{"auto", "bar", "lines", "json", "off"}

// Console is a process's three streams and how they are to be used. The fields
// are set before the first call and not changed after it.
type Console struct {
	Stdin          io.Reader // the process's input
	Stdout, Stderr io.Writer // results; talk and progress

	Progress string // one of Modes; "" is auto
	JSON     bool   // the result as JSON
	Dumb     bool   // the terminal knows no escape sequences (TERM=dumb)

	mu  sync.Mutex   // one line at a time on stderr
	bar *terminalBar // drawn at the moment, if any
}

// Logf writes a line of talk to stderr: "synshard: ..." or, with --progress
// json, an object of type message.
func (c *Console) Logf(format string, args ...any) { c.talk("message", fmt.Sprintf(format, args...)) }

// Warnf is Logf for what the user should look at: "synshard: warning: ..." or
// an object of type warning.
func (c *Console) Warnf(format string, args ...any) { c.talk("warning", fmt.Sprintf(format, args...)) }

// message is a line of talk with --progress json.
type message struct {
	Type    string `json:"type"` // message or warning
	Message string `json:"message"`
}

// failure is the error that ends the process, as JSON.
type failure struct {
	Type    string `json:"type"` // error
	Message string `json:"message"`
	Code    int    `json:"exit_code"`
	Kind    string `json:"kind"`
}

func (c *Console) talk(kind, text string) {
	if c.Progress == "json" {
		c.writeJSON(message{Type: kind, Message: text})
		return
	}
	if kind == "warning" {
		text = "warning: " + text
	}
	c.line("synshard: " + Text(text))
}

// Error tells of the error that ends the process with exit code code: a line, or an
// object where --json or --progress json is on. kind is the sort of error, a word.
func (c *Console) Error(text string, code int, kind string) {
	if c.JSON || c.Progress == "json" {
		c.writeJSON(failure{"error", text, code, kind})
		return
	}
	c.line("synshard: " + Text(text))
}

// Lines writes lines of talk that are a table and carry no name of the
// program, such as a recipe; with --progress json each is a message.
func (c *Console) Lines(text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if c.Progress == "json" {
			c.talk("message", strings.TrimSpace(line))
		} else {
			c.line(Text(line))
		}
	}
}

// writeJSON writes an object as a line of stderr.
func (c *Console) writeJSON(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		b, _ = json.Marshal(message{Type: "warning", Message: "progress: " + err.Error()}) // strings always can be
	}
	c.line(string(b))
}

// line writes one line to stderr, clear of a bar that is drawn there. That
// stderr cannot be written is nothing that can be told.
func (c *Console) line(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bar != nil {
		c.bar.clear()
	}
	_, _ = io.WriteString(c.Stderr, text+"\n")
}

// Result gives stdout a verb's result: v as JSON with --json, else what text
// writes. Errors in writing are kept for its end.
func (c *Console) Result(v any, text func(w io.Writer)) error {
	w := bufio.NewWriter(c.Stdout)
	if c.JSON {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
	} else {
		text(w)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// IsTerminal says whether a stream is a terminal.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
