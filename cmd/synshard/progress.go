package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

var progressModes = []string{"auto", "bar", "lines", "json", "off"}

// How often the line and the JSON forms report.
const (
	linesEvery = 30 * time.Second
	jsonEvery  = time.Second
)

func (a *app) checkProgress() error {
	if !slices.Contains(progressModes, a.progressMode) {
		return usagef("--progress %q: want one of %s", a.progressMode, strings.Join(progressModes, ", "))
	}
	return nil
}

// progress shows how far one piece of work is. Its methods may be called from
// many goroutines, and Finish more than once.
type progress interface {
	Add64(n int64)
	Set(n int64)       // counted from the beginning; a resumed count
	Describe(s string) // what is going on now, shown beside the name
	SetTotal(n int64)  // corrects the total
	Finish()
}

// bar starts showing progress over total items (-1: not known), named what.
func (a *app) bar(total int64, what string) progress { return a.newProgress(total, what, false) }

// byteBar is bar for a count of bytes.
func (a *app) byteBar(total int64, what string) progress { return a.newProgress(total, what, true) }

func (a *app) newProgress(total int64, what string, bytes bool) progress {
	mode := a.progressMode
	if mode == "auto" || mode == "" {
		if mode = "lines"; isTerminal(a.stderr) {
			mode = "bar"
		}
	}
	switch mode {
	case "bar":
		return newTerminalBar(a, total, what, bytes)
	case "lines", "json":
		every := linesEvery
		if mode == "json" {
			every = jsonEvery
		}
		now := time.Now()
		return &lineProgress{a: a, what: what, total: total, bytes: bytes, json: mode == "json",
			always: a.progressMode != "auto", every: every, start: now, last: now, base: -1}
	}
	return noProgress{}
}

type noProgress struct{}

func (noProgress) Add64(int64)     {}
func (noProgress) Set(int64)       {}
func (noProgress) Describe(string) {}
func (noProgress) SetTotal(int64)  {}
func (noProgress) Finish()         {}

// terminalBar is progressbar's bar on stderr.
type terminalBar struct {
	mu   sync.Mutex
	bar  *progressbar.ProgressBar
	out  io.Writer
	what string
	done bool
}

func newTerminalBar(a *app, total int64, what string, bytes bool) *terminalBar {
	opts := []progressbar.Option{
		progressbar.OptionSetWriter(a.stderr),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("img"),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100 * time.Millisecond),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionSetWidth(24),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}),
	}
	if bytes {
		opts = append(opts, progressbar.OptionShowBytes(true))
	}
	return &terminalBar{bar: progressbar.NewOptions64(total, opts...), out: a.stderr, what: what}
}

// The bar's own errors are those of writing to the terminal; work goes on
// without it.
func (b *terminalBar) Add64(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.done {
		_ = b.bar.Add64(n)
	}
}

func (b *terminalBar) Set(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.done {
		_ = b.bar.Set64(n)
	}
}

func (b *terminalBar) Describe(s string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.done {
		b.bar.Describe(strings.TrimSpace(b.what + " " + s))
	}
}

func (b *terminalBar) SetTotal(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.done {
		b.bar.ChangeMax64(n)
	}
}

func (b *terminalBar) Finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.done {
		b.done = true
		_ = b.bar.Exit() // leaves the bar where it stands: work may have ended early
		fmt.Fprintln(b.out)
	}
}

// lineProgress writes a line, plain or JSON, now and then.
type lineProgress struct {
	mu           sync.Mutex
	a            *app
	what, note   string
	total, n     int64
	base         int64 // count that was there before we began; -1: not yet known
	bytes, json  bool
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
	if p.json {
		p.reportJSON(seconds, rate, left)
		return
	}
	unit, count, speed := "", fmt.Sprint(p.n), fmt.Sprintf("%.1f/s", rate)
	if p.total >= 0 {
		count = fmt.Sprintf("%d/%d", p.n, p.total)
	}
	if p.bytes {
		unit, speed = " bytes", fmt.Sprintf("%.1f MB/s", rate/1e6)
	}
	line := fmt.Sprintf("%s: %s%s, %s", p.what, count, unit, speed)
	if left > 0 && !p.fin {
		line += ", " + (time.Duration(left) * time.Second).String() + " left"
	}
	if p.note != "" {
		line += ", " + p.note
	}
	p.a.logf("%s", line)
}

func (p *lineProgress) reportJSON(seconds, rate, left float64) {
	v := struct {
		What    string   `json:"what"`
		Note    string   `json:"note,omitempty"`
		Done    int64    `json:"done"`
		Total   *int64   `json:"total,omitempty"`
		Seconds float64  `json:"seconds"`
		Rate    float64  `json:"rate"`
		Left    *float64 `json:"seconds_left,omitempty"`
		End     bool     `json:"end,omitempty"`
	}{What: p.what, Note: p.note, Done: p.n, Seconds: seconds, Rate: rate, End: p.fin}
	if p.total >= 0 {
		v.Total = &p.total
	}
	if left >= 0 {
		v.Left = &left
	}
	if b, err := json.Marshal(v); err == nil {
		fmt.Fprintf(p.a.stderr, "%s\n", b)
	}
}
