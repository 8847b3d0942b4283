package ui

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// How often the line and the JSON forms report.
const (
	linesEvery = 30 * time.Second
	jsonEvery  = time.Second
)

// Progress shows how far one piece of work is. Its methods may be called from
// many goroutines, and Finish more than once.
type Progress interface {
	Add64(n int64)     // n more are done
	Set(n int64)       // n are done, counted from the beginning: a resumed count
	Describe(s string) // what is going on now, shown beside the name
	SetTotal(n int64)  // corrects the total
	Finish()
}

// Bar starts showing progress over total things (-1: not known), named what; unit is
// what they are called, such as images.
func (c *Console) Bar(total int64, what, unit string) Progress { return c.progress(total, what, unit) }

// ByteBar is Bar for a count of bytes.
func (c *Console) ByteBar(total int64, what string) Progress { return c.progress(total, what, "bytes") }

func (c *Console) progress(total int64, what, unit string) Progress {
	mode := c.Progress
	if mode == "auto" || mode == "" {
		if mode = "lines"; IsTerminal(c.Stderr) && !c.Dumb {
			mode = "bar"
		}
	}
	switch mode {
	case "bar":
		return newTerminalBar(c, total, what, unit)
	case "lines", "json":
		every := linesEvery
		if mode == "json" {
			every = jsonEvery
		}
		now := time.Now()
		return &lineProgress{c: c, what: what, total: total, unit: unit,
			always: c.Progress == "lines" || c.Progress == "json", every: every, start: now, last: now, base: -1}
	}
	return NoProgress{}
}

// NoProgress shows nothing.
type NoProgress struct{}

// Add64 implements Progress.
func (NoProgress) Add64(int64) {}

// Set implements Progress.
func (NoProgress) Set(int64) {}

// Describe implements Progress.
func (NoProgress) Describe(string) {}

// SetTotal implements Progress.
func (NoProgress) SetTotal(int64) {}

// Finish implements Progress.
func (NoProgress) Finish() {}

// terminalBar is progressbar's bar on stderr. The console's lock guards it: a
// line of talk and a redrawn bar must not meet. The bar's own errors are those
// of writing to the terminal; work goes on without it.
type terminalBar struct {
	c    *Console
	bar  *progressbar.ProgressBar
	what string
	done bool
}

func newTerminalBar(c *Console, total int64, what, unit string) *terminalBar {
	opts := []progressbar.Option{
		progressbar.OptionSetWriter(c.Stderr),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100 * time.Millisecond),
		progressbar.OptionUseANSICodes(!c.Dumb),
		progressbar.OptionSetWidth(24),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}),
	}
	switch unit {
	case "bytes":
		opts = append(opts, progressbar.OptionShowBytes(true))
	case "images":
		opts = append(opts, progressbar.OptionShowIts(), progressbar.OptionSetItsString("img"))
	default:
		opts = append(opts, progressbar.OptionShowIts(), progressbar.OptionSetItsString(unit))
	}
	b := &terminalBar{c: c, bar: progressbar.NewOptions64(total, opts...), what: what}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bar = b
	return b
}

// clear takes the bar off the line; the next change draws it anew.
func (b *terminalBar) clear() {
	if b.c.Dumb {
		_, _ = io.WriteString(b.c.Stderr, "\n")
		return
	}
	_ = b.bar.Clear()
}

func (b *terminalBar) change(f func()) {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	if !b.done {
		f()
	}
}

func (b *terminalBar) Add64(n int64) { b.change(func() { _ = b.bar.Add64(n) }) }
func (b *terminalBar) Set(n int64)   { b.change(func() { _ = b.bar.Set64(n) }) }
func (b *terminalBar) Describe(s string) {
	b.change(func() { b.bar.Describe(strings.TrimSpace(b.what + " " + Text(s))) })
}
func (b *terminalBar) SetTotal(n int64) { b.change(func() { b.bar.ChangeMax64(n) }) }

func (b *terminalBar) Finish() {
	b.change(func() {
		b.done = true
		_ = b.bar.Exit() // leaves the bar where it stands: work may have ended early
		_, _ = io.WriteString(b.c.Stderr, "\n")
		if b.c.bar == b {
			b.c.bar = nil
		}
	})
}

// lineProgress writes a line, plain or JSON, now and then.
type lineProgress struct {
	mu           sync.Mutex
	c            *Console
	what, note   string
	total, n     int64
	base         int64 // count that was there before we began; -1: not yet known
	unit         string
	always       bool // a last line even when the work was short
	every        time.Duration
	start, last  time.Time
	printed, fin bool
}

func (p *lineProgress) Add64(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.move(p.n + n)
}

func (p *lineProgress) Set(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.base < 0 {
		p.base = n // the first Set is what a resumed run found done
	}
	p.move(n)
}

func (p *lineProgress) Describe(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note = s
}

func (p *lineProgress) SetTotal(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total = n
}

func (p *lineProgress) Finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fin {
		return
	}
	p.fin = true
	if p.always || p.printed {
		p.report(time.Now())
	}
}

// move takes the new count and reports when it is time to.
func (p *lineProgress) move(n int64) {
	if p.base < 0 {
		p.base = 0
	}
	p.n = n
	if now := time.Now(); !p.fin && now.Sub(p.last) >= p.every {
		p.report(now)
	}
}

func (p *lineProgress) report(now time.Time) {
	p.last, p.printed = now, true
	seconds := now.Sub(p.start).Seconds()
	rate := float64(p.n-max(p.base, 0)) / max(seconds, 1e-9)
	left := -1.0
	if p.total >= 0 && rate > 0 {
		left = float64(p.total-p.n) / rate
	}
	if p.c.Progress == "json" {
		p.reportJSON(seconds, rate, left)
		return
	}
	unit, count, speed := "", fmt.Sprint(p.n), fmt.Sprintf("%.1f/s", rate)
	if p.total >= 0 {
		count = fmt.Sprintf("%d/%d", p.n, p.total)
	}
	if p.unit == "bytes" {
		unit, speed = " bytes", fmt.Sprintf("%.1f MB/s", rate/1e6)
	}
	line := fmt.Sprintf("%s: %s%s, %s", p.what, count, unit, speed)
	if left > 0 && !p.fin {
		line += ", " + (time.Duration(left) * time.Second).String() + " left"
	}
	if p.note != "" {
		line += ", " + p.note
	}
	p.c.Logf("%s", line)
}

// report is a report of progress with --progress json.
type report struct {
	Type    string   `json:"type"` // progress
	What    string   `json:"what"`
	Note    string   `json:"note,omitempty"`
	Unit    string   `json:"unit"` // bytes, images or what else is counted
	Done    int64    `json:"done"`
	Total   *int64   `json:"total,omitempty"` // where it is known
	Seconds float64  `json:"seconds"`
	Rate    float64  `json:"rate"` // a second, without what was done before
	Left    *float64 `json:"seconds_left,omitempty"`
	End     bool     `json:"end,omitempty"` // the last one
}

func (p *lineProgress) reportJSON(seconds, rate, left float64) {
	v := report{Type: "progress", What: p.what, Note: p.note, Unit: p.unit, Done: p.n, Seconds: seconds, Rate: rate, End: p.fin}
	if p.total >= 0 {
		v.Total = &p.total
	}
	if left >= 0 {
		v.Left = &left
	}
	p.c.writeJSON(v)
}
