package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/synshard/synshard/ingest/record"
	"github.com/synshard/synshard/internal/inorder"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
)

// standing is what a dataset's directory holds, beside what a plan wants.
type standing struct {
	kind      standingKind
	manifest  *shard.Manifest
	print     record.Fingerprint // of the dataset that is there
	classes   []shard.Class
	aside     bool             // the manifest was moved aside: an amendment was interrupted
	amendment record.Amendment // where it is amendable
	touched   []string         // splits whose sources must be read again to tell whether they are the same
}

type standingKind int

const (
	nothing    standingKind = iota // an empty directory, or none
	unfinished                     // work that the plan goes on with
	whole                          // the dataset that the plan makes
	amendable                      // a dataset that the plan adds to
	otherwise                      // a dataset or unfinished work made otherwise, which is to be made anew
)

var standingNames = []string{"new", "unfinished", "whole", "amended", "made anew"}

func (k standingKind) String() string { return standingNames[k] }

func (s *standing) names() []string {
	var out []string
	for _, c := range s.classes {
		out = append(out, c.Synset)
	}
	return out
}

// inspect looks at the dataset's directory, and changes nothing. What was made
// otherwise is a *DifferError, or to be made anew where the options say so.
func (p *Plan) inspect(ctx context.Context) (*standing, error) {
	s, err := p.look(ctx)
	if err == nil {
		err = p.fitsJob(s)
	}
	var differ *DifferError
	if p.o.Overwrite && (errors.As(err, &differ) || errors.Is(err, shard.ErrCorrupt)) {
		if len(p.units) == 0 && !p.hasStreams() {
			return nil, err // boxes alone make no dataset
		}
		return &standing{kind: otherwise}, nil
	}
	if err == nil && p.o.Overwrite && len(s.touched) > 0 && slices.ContainsFunc(p.set.list, func(k container) bool { return k.info.Path == "-" }) {
		return &standing{kind: otherwise}, nil // a pipe cannot be read once more to compare it
	}
	return s, err
}

func (p *Plan) look(ctx context.Context) (*standing, error) {
	out := p.o.Out
	m, aside, err := readManifest(out)
	switch {
	case isNotDataset(err):
		if len(p.print.Splits) == 0 {
			return nil, fmt.Errorf("%s is not a dataset: boxes alone are added to one", out)
		}
		return p.lookUnfinished(ctx)
	case err != nil:
		return nil, err
	}
	print, ok := record.Of(&m)
	if !ok {
		return nil, &DifferError{Out: out.String(), Differences: []string{"its manifest does not say what it was made from in a form that can be compared (it was repaired after a loss, or where the manifest was damaged, or an earlier version made it)"}}
	}
	s := &standing{manifest: &m, print: print, aside: aside}
	if aside {
		return s, p.lookAside(s)
	}
	set, err := open(out)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	if err := sound(set, out, &m, print); err != nil {
		return nil, err
	}
	s.classes = set.Classes()
	return s, p.compareWith(ctx, s, set)
}

// lookUnfinished looks at a directory without a dataset.
func (p *Plan) lookUnfinished(ctx context.Context) (*standing, error) {
	out := p.o.Out
	// First what is held: another job of an array records what it makes before it
	// makes anything, so that what is seen here has its record below.
	held, unread := holds(out)
	was, ok, err := p.startedBeside(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, &DifferError{Out: out.String(), Unfinished: true, Differences: []string{err.Error()}}
	}
	if ok {
		if diff := p.differs(was.Fingerprint); len(diff) > 0 {
			return nil, &DifferError{Out: out.String(), Unfinished: true, Differences: diff}
		}
		return &standing{kind: unfinished}, nil
	}
	switch {
	case unread != nil:
		return nil, unread
	case held == "":
		return &standing{kind: nothing}, nil
	}
	switch begun, err := record.StateIn(out).Exists(); {
	case err != nil:
		return nil, err
	case begun: // killed while it was cleared
		return nil, &DifferError{Out: out.String(), Unfinished: true, Differences: []string{"its record of what it is made from is gone"}}
	}
	return nil, fmt.Errorf("%s is neither empty nor a dataset (it holds %s); give another directory", out, held)
}

// holds names something that a directory holds, beside what is hidden; "" where
// there is nothing, or no directory.
func holds(dir files.Dir) (string, error) {
	entries, err := dir.ReadDir(".")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			return e.Name(), nil
		}
	}
	return "", nil
}

// differs says in what unfinished work differs from the plan.
func (p *Plan) differs(was record.Fingerprint) []string {
	diff := append(record.DifferentOptions(was, p.print), differentExports(was, p.print)...)
	if d := record.DifferentClasses(was.Classes, p.print.Classes); d != "" {
		diff = append(diff, d)
	}
	diff = append(diff, record.DifferentSplits(was.Splits, p.print.Splits)...)
	if was.Boxes != p.print.Boxes {
		diff = append(diff, "boxes: "+differentBoxes(was.Boxes, p.print.Boxes))
	}
	return diff
}

func differentExports(was, now record.Fingerprint) []string {
	if was.Exported == now.Exported {
		return nil
	}
	return []string{"the class list of an export differs"}
}

func differentBoxes(was, now string) string {
	switch {
	case was == "":
		return "there were none, and now there are"
	case now == "":
		return "there were some, and now there are none"
	}
	return "they are others"
}

// lookAside goes on with an amendment that was interrupted.
func (p *Plan) lookAside(s *standing) error {
	was, ok, err := record.StateIn(p.o.Out).Started()
	if err != nil {
		return err
	}
	if !ok || was.Amendment == nil {
		return fmt.Errorf("%w: %s: an amendment was interrupted, and its plan is gone", shard.ErrCorrupt, p.o.Out)
	}
	if diff := p.differs(was.Fingerprint); len(diff) > 0 {
		return &DifferError{Out: p.o.Out.String(), Unfinished: true, Differences: diff}
	}
	s.kind, s.amendment = amendable, *was.Amendment
	s.classes, err = shard.ReadClasses(p.o.Out, s.manifest.ClassesSHA256)
	return err
}

// open opens a dataset. What is missing of it is damage.
func open(out files.Dir) (*shard.Dataset, error) {
	set, err := shard.OpenDir(out)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", shard.ErrCorrupt, err)
	}
	return set, err
}

// sound wants the indexes and lists, the shards and refused images that they name
// in the sizes that they had. Their bytes are read by asWritten.
func sound(set *shard.Dataset, out files.Dir, m *shard.Manifest, print record.Fingerprint) error {
	for name, info := range m.Splits {
		s, err := set.Split(name)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %w", shard.ErrCorrupt, err)
		}
		if err != nil {
			return err
		}
		sums, err := sumsOf(out, name, info)
		if err != nil {
			return err
		}
		var total int64
		end := ends(s)
		for _, file := range slices.Sorted(maps.Keys(end)) {
			size, err := sizeOf(out, file)
			if err != nil {
				return err
			}
			if size < end[file] {
				return fmt.Errorf("%w: %s has %d bytes, and an image lies behind them", shard.ErrCorrupt, file, size)
			}
			if sum, listed := sums[file]; listed && size != sum.Size {
				return fmt.Errorf("%w: %s has %d bytes, and %d were written", shard.ErrCorrupt, file, size, sum.Size)
			}
			total += size
		}
		if len(end) != info.Shards || total != print.FileBytes[name] {
			return fmt.Errorf("%w: %s: %s has %d shards of %d bytes, and was made with %d of %d", shard.ErrCorrupt, out, name, len(end), total, info.Shards, print.FileBytes[name])
		}
	}
	if begun, err := record.StateIn(out).Exists(); begun || err != nil {
		return err // a call may have been killed after it wrote the next list of what was refused
	}
	return inspectRejected(out, m)
}

// inspectRejected holds the list of what was refused to its sum, and what is kept to its sizes.
func inspectRejected(out files.Dir, m *shard.Manifest) error {
	rejected, err := shard.ReadRejected(out, m.RejectedSHA256)
	if err != nil {
		return err
	}
	for _, r := range rejected {
		if r.File == "" {
			continue
		}
		size, err := sizeOf(out, r.File)
		if err != nil {
			return err
		}
		if size != r.Bytes {
			return fmt.Errorf("%w: %s has %d bytes, and %d were written", shard.ErrCorrupt, r.File, size, r.Bytes)
		}
	}
	return nil
}

// asWritten wants every shard, and every refused image that is kept, to be what was written, byte for byte, before
// a dataset is called done or taken up. A dataset of before, without a list of its shards, has no sums of them.
func asWritten(ctx context.Context, out files.Dir, m *shard.Manifest, workers int) error {
	group, _ := inorder.New(ctx, files.AtOnce(out, workers))
	for _, split := range splitsOf(m) {
		sums, err := sumsOf(out, split, m.Splits[split])
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		for _, file := range slices.Sorted(maps.Keys(sums)) {
			group.Go(func(context.Context) error { return record.ShardAsWritten(out, sums[file]) })
		}
	}
	rejected, err := shard.ReadRejected(out, m.RejectedSHA256)
	for _, r := range rejected {
		group.Go(func(context.Context) error { return record.RejectedAsWritten(out, r) })
	}
	return cmp.Or(group.Wait(), err)
}

// leftWhole wants units that an earlier call made to be what it wrote, byte for byte.
func (j *job) leftWhole(ctx context.Context, units []unit) error {
	return inorder.Each(ctx, files.AtOnce(j.o.Out, j.o.Workers), len(units), func(_ context.Context, i int) error {
		id := units[i].Unit
		r, err := j.state.Load(id)
		if err == nil {
			err = j.state.Sound(r)
		}
		return j.damaged(id, err)
	})
}

// ends gives the shards of a split, and where the last image of each ends.
func ends(s *shard.Split) map[string]int64 {
	out := map[string]int64{}
	for i := range s.Len() {
		row := s.Row(i)
		out[row.File] = max(out[row.File], row.Offset+row.Length)
	}
	return out
}

// sizeOf is the size of a file of a dataset. One that is missing, or no regular
// file, is damage.
func sizeOf(out files.Dir, file string) (int64, error) {
	info, err := out.Stat(file)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", shard.ErrCorrupt, err)
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%w: %s: not a regular file", shard.ErrCorrupt, file)
	}
	return info.Size(), nil
}

// compareWith says what the plan does to a dataset: nothing, if it is made from
// the same sources in the same way; else it may be added to.
func (p *Plan) compareWith(ctx context.Context, s *standing, set *shard.Dataset) error {
	diff := p.differentClassesOf(s)
	if len(p.print.Splits) > 0 { // options do not matter to boxes alone
		diff = append(diff, record.DifferentOptions(s.print, p.print)...)
	}
	if p.covers(s.manifest) { // a split that is added has the classes that are there
		diff = append(diff, differentExports(s.print, p.print)...)
	}
	for _, split := range p.splitNames() {
		was, now := s.print.Splits[split], p.print.Splits[split][0]
		if _, there := s.manifest.Splits[split]; !there {
			s.amendment.Add = append(s.amendment.Add, split)
			continue
		}
		i := slices.IndexFunc(was, func(w record.SplitPrint) bool { return w.Entries == now.Entries })
		if i < 0 && len(was) == 1 && (was[0].Entries == "" || now.Entries == "") {
			i = 0 // of a pipe nothing is known before it is read
		}
		switch {
		case i >= 0 && was[i].Truth != now.Truth:
			diff = append(diff, split+": "+record.DifferentTruth(was[i].Truth, now.Truth))
		case i >= 0 && was[i].Times == now.Times && now.Entries != "":
		case i >= 0:
			s.touched = append(s.touched, split)
		case split == "train" && len(diff) == 0 && p.newClasses(set) > 0:
			s.amendment.Grow = true
		default:
			d, err := p.explain(set, split, was)
			if err != nil {
				return err
			}
			diff = append(diff, d...)
		}
	}
	if len(diff) > 0 {
		return &DifferError{Out: p.o.Out.String(), Differences: diff}
	}
	err := p.boxedIn(set, splitsOf(s.manifest))
	if err != nil {
		return err
	}
	shrink := s.print.Resize
	if s.amendment.Rebox, err = otherBoxes(set, splitsOf(s.manifest), p.boxes, shrink); err != nil {
		return err
	}
	if shrink > 0 && len(s.amendment.Rebox) > 0 {
		return &DifferError{Out: p.o.Out.String(), Differences: []string{"boxes: they are others, and its images were made smaller (--shrink), so that boxes can only be given with them"}}
	}
	if s.kind = whole; !s.amendment.Empty() {
		s.kind = amendable
	}
	return nil
}

func splitsOf(m *shard.Manifest) []string {
	var out []string
	for name := range m.Splits {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// differentClassesOf wants the plan's classes to be the dataset's. Classes that
// were found and not given may be some of them, where not every split is read.
func (p *Plan) differentClassesOf(s *standing) []string {
	names := s.names()
	if len(p.print.Splits) == 0 || slices.Equal(names, p.Classes) {
		return nil
	}
	have := setOf(names)
	for _, c := range p.Classes {
		if !have[c] {
			return []string{"it does not have the class " + c + "; one more would number the others anew: give another directory, and all classes with the first of their images"}
		}
	}
	if p.given || p.covers(s.manifest) {
		return []string{record.DifferentClasses(names, p.Classes)}
	}
	return nil
}

// covers says whether the plan has every split of a dataset.
func (p *Plan) covers(m *shard.Manifest) bool {
	for split := range m.Splits {
		if len(p.print.Splits[split]) == 0 {
			return false
		}
	}
	return true
}

// newClasses counts the classes of the plan's training units that have no
// images in the dataset, whose training split must be by class.
func (p *Plan) newClasses(set *shard.Dataset) (n int) {
	s, err := set.Split("train")
	if err != nil {
		return 0
	}
	have := map[string]bool{}
	for i := range s.Len() {
		row := s.Row(i)
		if !strings.Contains(row.File, "/synset=") {
			return 0
		}
		have[row.Synset] = true
	}
	for i := range p.units {
		if u := &p.units[i]; u.Split == "train" {
			if u.Class == "" {
				return 0
			}
			if !have[u.Class] {
				n++
			}
		}
	}
	return n
}

// hasStreams says whether there are images that are met only when they are read.
func (p *Plan) hasStreams() bool {
	return slices.ContainsFunc(p.set.inputs, func(at int) bool { return p.set.list[at].info.Sequential })
}
