//go:build linux

// Command attack sets upon the synshard binary as a bad day would: it kills it, fills its disk, damages what it reads,
// gives it hostile files and sends it signals, thousands of times, and holds every outcome to what an undisturbed run
// makes:
//
//	go run ./scripts/attack                   # a few trials of each attack, in under a minute
//	go run ./scripts/attack --long 8h         # a night: the time is shared out among the attacks
//	go run ./scripts/attack --only kill/infer --trials 500
//	go run ./scripts/attack --only kill/infer-csv --seed 7 --trial 41    # one trial again
//
// Right is the same bytes as undisturbed, or a refusal that says what is wrong. Anything else is printed as it is found,
// with the seed and the trial that show it, and ends in exit code 1. Stdout gets a JSON line an attack; --table prints
// them as docs/RELIABILITY.md has them. Work is done in memory (/dev/shm) where there is such a file system.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

func main() {
	o, err := parse(os.Args[1:])
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "attack:", err)
		}
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	tallies, err := staged(ctx, o, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(1)
	}
	if report(os.Stdout, tallies, o.table) > 0 {
		os.Exit(1)
	}
}

// options of a campaign.
type options struct {
	binary  string
	seed    uint64
	only    *regexp.Regexp
	except  *regexp.Regexp // nil: none
	trials  int
	trial   int // this one alone, where not negative
	workers int
	long    time.Duration
	slice   time.Duration
	table   bool
	root    string
}

func parse(args []string) (options, error) {
	var o options
	var only, except string
	f := flag.NewFlagSet("attack", flag.ContinueOnError)
	f.StringVar(&o.binary, "binary", "", "synshard binary (default: built from this tree)")
	f.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano())%1e6, "what is tried depends on this, but for times")
	f.StringVar(&only, "only", ".", "attacks whose names match this regular expression")
	f.StringVar(&except, "except", "", "but not those whose names match this one")
	f.IntVar(&o.trials, "trials", 2, "trials of each attack")
	f.IntVar(&o.trial, "trial", -1, "this trial alone")
	f.DurationVar(&o.long, "long", 0, "go on for so long, with as many trials as there is time for")
	f.DurationVar(&o.slice, "slice", 2*time.Second, "with --long: time each attack gets before it is the next one's turn")
	f.IntVar(&o.workers, "j", 1, "attacks at a time")
	f.BoolVar(&o.table, "table", false, "print a table in place of JSON")
	f.StringVar(&o.root, "dir", "", "where to work (default: below /dev/shm or the temporary directory)")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is no option", f.Arg(0))
	}
	var err error
	if o.only, err = regexp.Compile(only); err == nil && except != "" {
		o.except, err = regexp.Compile(except)
	}
	return o, err
}

// attack is one kind of disturbance of one thing.
type attack struct {
	name  string
	learn func() error // what is right; called once, before the first trial
	trial func(r *rand.Rand) (result, error)
	skip  string // why it cannot be tried here
}

// result is what came of a trial that found nothing wrong.
type result struct {
	acts    int // kills, damages, failed calls, signals
	right   int // the bytes of an undisturbed run
	refused int // an exit code and a message that say what is wrong
	other   int // other data, of a format without sums, where that cannot be told
	code    int // exit code
}

// fault is a finding: an outcome that is neither right nor a refusal.
type fault struct {
	text   string
	silent bool // a wrong result that was called right
}

func (f *fault) Error() string { return f.text }

func finding(format string, args ...any) error { return &fault{text: fmt.Sprintf(format, args...)} }

func silent(format string, args ...any) error {
	return &fault{text: "SILENT: " + fmt.Sprintf(format, args...), silent: true}
}

// tally counts an attack's trials.
type tally struct {
	Attack  string         `json:"attack"`
	Seed    uint64         `json:"seed"`
	Trials  int            `json:"trials"`
	Acts    int            `json:"acts"` // kills, damages, failed calls, signals
	Right   int            `json:"right"`
	Refused int            `json:"refused"`
	Other   int            `json:"other"`  // damaged sources without sums: other data
	Silent  int            `json:"silent"` // wrong, and called right
	Faults  int            `json:"faults"` // anything else that should not be
	Codes   map[string]int `json:"codes,omitempty"`
	Seconds float64        `json:"seconds"`
	Skipped string         `json:"skipped,omitempty"`
}

// staged is a campaign in a place of its own.
func staged(ctx context.Context, o options, talk io.Writer) ([]*tally, error) {
	root, err := workplace(o.root)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(root)
	defer os.RemoveAll(beside(root))
	binary, err := build(o.binary, root)
	if err != nil {
		return nil, err
	}
	s, err := newScene(binary, root)
	if err != nil {
		return nil, err
	}
	if o.binary != "" {
		s.noPins = "the binary that was given knows real wheels alone"
	}
	return campaign(ctx, s, o, talk)
}

// campaign runs the attacks that are asked for, telling findings as they come.
func campaign(ctx context.Context, s *scene, o options, talk io.Writer) ([]*tally, error) {
	var chosen []*attack
	var tallies []*tally
	for _, a := range attacks(s) {
		if o.only.MatchString(a.name) && (o.except == nil || !o.except.MatchString(a.name)) {
			chosen = append(chosen, a)
			tallies = append(tallies, &tally{Attack: a.name, Seed: o.seed, Codes: map[string]int{}, Skipped: a.skip})
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("--only %s: no such attack", o.only)
	}
	fmt.Fprintf(talk, "attack: seed %d, %d attacks in %s\n", o.seed, len(chosen), s.root)
	for end := time.Now().Add(o.long); ; {
		if err := round(ctx, o, chosen, tallies, end, talk); err != nil || o.long == 0 || ctx.Err() != nil || time.Now().After(end) {
			return tallies, err
		}
	}
}

// round gives each attack its turn, o.workers at a time.
func round(ctx context.Context, o options, chosen []*attack, tallies []*tally, end time.Time, talk io.Writer) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(o.workers, 1))
	for i, a := range chosen {
		group.Go(func() error {
			if ctx.Err() != nil || o.long > 0 && time.Now().After(end) {
				return nil
			}
			if err := turn(ctx, a, tallies[i], o, talk); err != nil {
				return fmt.Errorf("%s: %w", a.name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// turn runs an attack's trials, or with o.long a slice of time of them.
func turn(ctx context.Context, a *attack, t *tally, o options, talk io.Writer) error {
	if a.skip != "" {
		return nil
	}
	begun := time.Now()
	defer func() { t.Seconds += time.Since(begun).Seconds() }()
	if a.learn != nil {
		if err := a.learn(); err != nil {
			return note(t, a, o, -1, result{}, err, talk)
		}
	}
	if o.trial >= 0 {
		res, err := a.trial(random(o.seed, a.name, o.trial))
		return note(t, a, o, o.trial, res, err, talk)
	}
	for n := 0; ctx.Err() == nil; n++ {
		if o.long == 0 && n == o.trials || o.long > 0 && n > 0 && time.Since(begun) > o.slice {
			break
		}
		k := t.Trials
		res, err := a.trial(random(o.seed, a.name, k))
		if err := note(t, a, o, k, res, err, talk); err != nil {
			return err
		}
	}
	return nil
}

// random is a trial's own, so that each can be had again alone.
func random(seed uint64, name string, trial int) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprint(h, name, " ", trial)
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// note counts a trial, and tells a finding. An error that is none is the attack's own.
func note(t *tally, a *attack, o options, trial int, res result, err error, talk io.Writer) error {
	t.Trials++
	t.Acts += res.acts
	t.Right += res.right
	t.Refused += res.refused
	t.Other += res.other
	if res.code > 0 {
		t.Codes[fmt.Sprint(res.code)]++
	}
	var f *fault
	if err == nil {
		return nil
	}
	if !errors.As(err, &f) {
		return err
	}
	if f.silent {
		t.Silent++
	} else {
		t.Faults++
	}
	fmt.Fprintf(talk, "FOUND %s --seed %d --trial %d: %s\n", a.name, o.seed, trial, f.text)
	return nil
}

// attacks are all there are.
func attacks(s *scene) []*attack {
	var all []*attack
	for _, j := range jobs() {
		skip := s.lacks(j.needs)
		learn := func() error { return j.learn(s) }
		add := func(kind string, trial func(*scene, *rand.Rand) (result, error)) {
			all = append(all, &attack{name: kind + "/" + j.name, learn: learn, skip: skip, trial: func(r *rand.Rand) (result, error) { return trial(s, r) }})
		}
		add("kill", j.kill)
		add("fail", j.fail)
		add("signal", j.signal)
		add("limit", j.limited)
		if !strings.HasPrefix(j.name, "model-") && !strings.HasPrefix(j.name, "eval-") { // those have nothing half done
			add("damage-partial", j.partial)
		}
	}
	for _, e := range exposures() {
		all = append(all, &attack{name: "damage/" + e.name, learn: func() error { return e.learn(s) }, skip: s.lacks(e.needs),
			trial: func(r *rand.Rand) (result, error) { return e.trial(s, r) }})
		all = append(all, &attack{name: "special/" + e.name, learn: func() error { return e.learn(s) }, skip: s.lacks(e.needs),
			trial: func(r *rand.Rand) (result, error) { return e.special(s, r) }})
	}
	for _, j := range askers() {
		all = append(all, &attack{name: "lies/" + j.name, learn: func() error { return j.learn(s) }, skip: s.lacks(j.needs),
			trial: func(r *rand.Rand) (result, error) { return j.lied(s, r) }})
	}
	for _, l := range lures() {
		all = append(all, &attack{name: "hostile/" + l.name, trial: func(r *rand.Rand) (result, error) { return l.try(s, r) }})
	}
	return all
}

// lacks says why what needs a native library cannot be tried.
func (s *scene) lacks(what string) string {
	return map[string]string{"torch": s.noTorch, "ort": s.noORT, "s3": s.noS3, "pins": s.noPins, "s3 ort": cmp.Or(s.noS3, s.noORT), "s3 torch": cmp.Or(s.noS3, s.noTorch)}[what]
}

// workplace is an empty directory, in memory where there is room for such.
func workplace(dir string) (string, error) {
	if dir == "" {
		dir = os.TempDir()
		if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() && unix.Access("/dev/shm", unix.W_OK) == nil {
			dir = "/dev/shm"
		}
	}
	return os.MkdirTemp(dir, "synshard-attack-")
}

// build makes the binary, where none is given: one that setup's wheels of the scene are pinned in.
func build(binary, root string) (string, error) {
	if binary != "" {
		return filepath.Abs(binary)
	}
	binary = filepath.Join(root, "synshard")
	pins, err := overlay(root)
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-overlay", pins, "-o", binary, "github.com/synshard/synshard/cmd/synshard").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build synshard: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return binary, nil
}

// report prints what was counted and gives the number of findings.
func report(w io.Writer, tallies []*tally, table bool) (found int) {
	if table {
		fmt.Fprintln(w, "| attack | trials | acts | right | refused | other data | silent | other faults | exit codes | seconds |")
		fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|")
	}
	for _, t := range tallies {
		found += t.Silent + t.Faults
		switch {
		case !table:
			json.NewEncoder(w).Encode(t)
		case t.Skipped != "":
			fmt.Fprintf(w, "| %s | not tried: %s |\n", t.Attack, t.Skipped)
		default:
			codes, _ := json.Marshal(t.Codes)
			fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %d | %d | %s | %.0f |\n", t.Attack, t.Trials, t.Acts, t.Right, t.Refused, t.Other, t.Silent, t.Faults,
				strings.Trim(strings.ReplaceAll(string(codes), `"`, ""), "{}"), t.Seconds)
		}
	}
	return found
}
