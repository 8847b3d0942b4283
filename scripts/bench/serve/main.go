// Command serve measures `synshard serve` over a dataset as large as ImageNet's: it writes
// the indexes of a made-up one (no images), starts the program on it, and walks its pages
// at random, by the links that are on them: while predictions are read, and after that.
//
//	go run ./scripts/bench/serve -synshard bin/synshard -wordnet /usr/share/wordnet -dir /tmp/large
package main

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
	"github.com/synshard/synshard/wordnet"
)

func main() {
	log.SetFlags(0)
	dir := flag.String("dir", "", "where the dataset is made; one that is there is taken")
	binary := flag.String("synshard", "bin/synshard", "the program")
	words := flag.String("wordnet", "/usr/share/wordnet", "directory with data.noun")
	rows := flag.Int("rows", 14_197_122, "rows of train")
	val := flag.Int("val", 500_000, "rows of val")
	predicted := flag.String("predicted", "val", "split all of whose rows are predicted")
	synsets := flag.Int("synsets", 21_841, "classes")
	width := flag.Int("embedding", 0, "numbers of the embeddings that were predicted, too; 0: none")
	pages := flag.Int("pages", 3000, "pages to walk when predictions are there")
	flag.Parse()
	if *dir == "" || *rows < 1 || *val < 1 || *pages < 1 || *synsets < 1 || *width < 0 || *predicted != "train" && *predicted != "val" || flag.NArg() > 0 {
		log.Fatal("wanted: -dir, numbers above 0, and train or val for -predicted; nothing beside flags")
	}
	m := madeUp{dir: *dir, predicted: *predicted, width: *width}
	if err := m.make(*words, map[string]int{"train": *rows, "val": *val}, *synsets); err != nil {
		log.Fatal(err)
	}
	walk := walk{pages: *pages}
	if *width > 0 {
		walk.alike, walk.split, walk.rows = *pages/10, *predicted, map[string]int{"train": *rows, "val": *val}[*predicted]
	}
	if err := measure(*binary, *words, *dir, m.predictions(), walk); err != nil {
		log.Fatal(err)
	}
}

// madeUp is a dataset without images, and predictions.
type madeUp struct {
	dir, predicted string
	width          int // of embeddings
}

// predictions is their file.
func (m *madeUp) predictions() string {
	if m.width > 0 {
		return filepath.Join(m.dir, fmt.Sprintf("%s-%d.arrow", m.predicted, m.width))
	}
	return filepath.Join(m.dir, m.predicted+".arrow")
}

// make writes what is not there yet.
func (m *madeUp) make(words string, splits map[string]int, synsets int) error {
	g, err := wordnet.Open(words)
	if err != nil {
		return err
	}
	classes, err := classesOf(g, synsets)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(m.dir, shard.ManifestName)); err != nil {
		if err := index(m.dir, classes, splits); err != nil {
			return err
		}
	}
	if _, err := os.Stat(m.predictions()); err == nil {
		return nil
	}
	return m.predict(classes, splits[m.predicted])
}

// index writes a dataset without its shards.
func index(dir string, classes []shard.Class, splits map[string]int) (err error) {
	for _, sub := range []string{"train", "val"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o777); err != nil {
			return err
		}
	}
	m := shard.Manifest{WordNetVersion: "3.0", Splits: map[string]shard.SplitInfo{}}
	if m.ClassesSHA256, err = shard.WriteClasses(files.Local(dir), classes); err != nil {
		return err
	}
	for split, n := range splits {
		w, err := shard.CreateIndex(files.Local(dir), split)
		if err != nil {
			return err
		}
		info := shard.SplitInfo{Rows: int64(n), Shards: len(classes)}
		for i := range n {
			r := row(classes, split, i, n)
			info.Bytes += r.Length
			if err := w.Append(&r); err != nil {
				return err
			}
		}
		if info.IndexSHA256, err = w.Commit(); err != nil {
			return err
		}
		m.Splits[split] = info
	}
	return shard.WriteManifest(files.Local(dir), m)
}

// classesOf takes synsets spread over all of WordNet.
func classesOf(g *wordnet.Graph, n int) (out []shard.Class, err error) {
	entity, err := g.Resolve("n00001740")
	if err != nil {
		return nil, err
	}
	all := g.Descendants(entity[0])
	if n > len(all) {
		return nil, fmt.Errorf("%d classes of the %d synsets there are", n, len(all))
	}
	for i := range n {
		c := shard.Class{Label: i, Synset: all[i*len(all)/n].String()}
		c.Describe(g)
		out = append(out, c)
	}
	return out, nil
}

// row is row i of n: in train classes follow one another, in val they are mixed.
func row(classes []shard.Class, split string, i, n int) shard.Row {
	c := classes[i*len(classes)/n]
	path := fmt.Sprintf("%s_%d.JPEG", c.Synset, 100_000_000+i)
	file := shard.ShardName(split, c.Synset, 0)
	if split != "train" {
		c = classes[(i*7919+i/len(classes))%len(classes)]
		path, file = fmt.Sprintf("ILSVRC2012_val_%08d.JPEG", i), "val/part-00000.arrow"
	}
	var seed [8]byte
	binary.LittleEndian.PutUint64(seed[:], uint64(i))
	sum := sha256.Sum256(seed[:])
	return shard.Row{Path: path, Label: int64(c.Label), Synset: c.Synset, Width: 500, Height: 375, Format: "JPEG", Mode: "RGB", SHA256: sum,
		File: file, Offset: int64(i%1300) * 110_000, Length: 100_000 + int64(sum[0])*100, CRC32C: uint32(sum[1])}
}

// predict writes predictions of a split: seven in ten are right, the rest is taken for a class near by.
func (m *madeUp) predict(classes []shard.Class, n int) error {
	var names []string
	for _, c := range classes {
		names = append(names, c.Synset)
	}
	const each = 2048
	set, err := shard.Open(m.dir)
	if err != nil {
		return err
	}
	defer set.Close()
	b, err := set.Browse(m.predicted)
	if err != nil {
		return err
	}
	defer b.Close()
	columns := prediction.Columns{TopK: 5}
	if m.width > 0 {
		columns.Embedding, columns.Width = "fp16", m.width
	}
	out, err := prediction.Begin(prediction.OutputOptions{Path: m.predictions(), Format: prediction.Arrow, Columns: columns,
		Header: prediction.Header{BatchRows: each, Identity: prediction.Identity{Model: "made up", Backend: "none", Input: b.Identity(),
			Spec: model.Spec{Model: "inception_v3", Width: 1, InputSize: 299, Resize: 342, Interpolation: "bilinear", Std: [3]float64{1, 1, 1}, Classes: names}}}})
	if err != nil {
		return err
	}
	defer out.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	var chunks []prediction.Chunk
	for from := 0; from < n; from += each {
		c := prediction.Chunk{Number: len(chunks), From: from, To: min(from+each, n)}
		var rows []prediction.Row
		for i := c.From; i < c.To; i++ {
			r := row(classes, m.predicted, i, n)
			p := prediction.Row{Path: r.Path, Synset: r.Synset, Label: r.Label}
			first := int(r.Label)
			if rng.IntN(10) < 3 {
				first = (first + 1 + rng.IntN(20)) % len(classes)
			}
			share := float32(0.3 + 0.6*rng.Float64())
			for k := range 5 {
				p.Top, p.Prob = append(p.Top, (first+k)%len(classes)), append(p.Prob, share/float32(int(1)<<k))
			}
			p.Embedding = embedding(rng, first, m.width)
			rows = append(rows, p)
		}
		if err := out.Write(c, rows); err != nil {
			return err
		}
		chunks = append(chunks, c)
	}
	return out.Join(chunks)
}

// embedding is one near that of its class; nil: it has no numbers.
func embedding(rng *rand.Rand, class, width int) (v []float32) {
	of := rand.NewPCG(uint64(class), 0)
	for len(v) < width {
		for a, b, k := of.Uint64(), rng.Uint64(), 0; k < 8 && len(v) < width; a, b, k = a>>8, b>>8, k+1 {
			v = append(v, (float32(a&255)+float32(b&255))/512)
		}
	}
	return v
}

var (
	hrefs = regexp.MustCompile(`href="(/[^"#]*)`)
	peak  = regexp.MustCompile(`Vm(HWM|RSS):\s+(\d+) kB`)
)

// walk is how many pages are looked at, and of how many images of a split what is alike.
type walk struct {
	pages, alike int
	split        string
	rows         int
}

// measure starts the program and walks.
func measure(binary, words, dir, predictions string, walk walk) error {
	began := time.Now()
	cmd := exec.Command(binary, "serve", dir, predictions, "--wordnet", words, "--progress", "off")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer cmd.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("it did not start: %w", err)
	}
	fmt.Printf("open until the address was printed: %.1f s\n", time.Since(began).Seconds())
	memory(cmd.Process.Pid, "opened")
	w := walker{pid: cmd.Process.Pid, base: strings.TrimSuffix(strings.TrimSpace(line), "/"), rng: rand.New(rand.NewPCG(3, 4)), at: "/", took: map[string][]spent{}}
	if err := w.whileRead(); err != nil {
		return err
	}
	fmt.Printf("from the start until predictions were there: %.1f s\n", time.Since(began).Seconds())
	w.tell("while predictions were read")
	memory(cmd.Process.Pid, "read")
	w.took = map[string][]spent{}
	for range walk.pages {
		if err := w.step(); err != nil {
			return err
		}
	}
	for range walk.alike {
		w.at = fmt.Sprintf("/image/%s/%d/neighbours", walk.split, w.rng.IntN(walk.rows))
		if err := w.step(); err != nil {
			return err
		}
	}
	w.tell("predictions were there")
	memory(cmd.Process.Pid, "walked")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	_ = cmd.Wait() // 130
	fmt.Printf("exit code %d\n", cmd.ProcessState.ExitCode())
	return nil
}

// spent is what a page took: time until it was there, and the program's processor time,
// which other work on the machine does not stretch.
type spent struct{ wall, processor time.Duration }

// processor is the processor time of all threads of a process, where the kernel tells it.
func processor(pid int) (sum time.Duration) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, t := range threads {
		var run int64
		if b, err := os.ReadFile(t); err == nil {
			fmt.Sscan(string(b), &run)
		}
		sum += time.Duration(run)
	}
	return sum
}

// walker follows links at random, from the start again where a page has none.
type walker struct {
	pid  int
	base string
	rng  *rand.Rand
	at   string
	took map[string][]spent // by kind of page
}

// whileRead walks, ten pages a second, until predictions are there.
func (w *walker) whileRead() error {
	for {
		answer, err := http.Get(w.base + "/reading")
		if err != nil {
			return err
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			return fmt.Errorf("/reading: %s: %v", answer.Status, err)
		}
		if !strings.Contains(string(body), "<progress") {
			return nil
		}
		if err := w.step(); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// step looks at a page, and finds the next one.
func (w *walker) step() error {
	at := w.at
	before, began := processor(w.pid), time.Now()
	answer, err := http.Get(w.base + at)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if waits := answer.Header.Get("Retry-After") != ""; err != nil || answer.StatusCode != http.StatusOK && !waits {
		return fmt.Errorf("%s: %s: %v", at, answer.Status, err)
	}
	kind, _, _ := strings.Cut(strings.TrimPrefix(at, "/"), "/")
	kind, _, _ = strings.Cut(kind, "?")
	if strings.HasSuffix(at, "/neighbours") {
		kind = "neighbours"
	}
	w.took["/"+kind] = append(w.took["/"+kind], spent{time.Since(began), processor(w.pid) - before})
	var next []string
	for _, m := range hrefs.FindAllStringSubmatch(string(body), -1) {
		if to := strings.ReplaceAll(m[1], "&amp;", "&"); !strings.HasSuffix(to, "/original") && !strings.HasSuffix(to, ".css") && !strings.HasSuffix(to, ".svg") {
			next = append(next, to)
		}
	}
	switch w.at = "/"; {
	case w.rng.IntN(20) == 0:
		w.at = "/search?q=" + []string{"dog", "house", "n02084071", "tree", "instrument", "xyzzy"}[w.rng.IntN(6)]
	case len(next) > 0:
		w.at = next[w.rng.IntN(len(next))]
	}
	return nil
}

// tell prints what the pages of each kind took, and all.
func (w *walker) tell(when string) {
	fmt.Println(when + ":")
	var all []spent
	for _, kind := range slices.Sorted(maps.Keys(w.took)) {
		tell(kind, w.took[kind])
		all = append(all, w.took[kind]...)
	}
	if len(all) > 0 {
		tell("all pages", all)
	}
}

// tell prints what pages, one at least, took.
func tell(kind string, took []spent) {
	fmt.Printf("%-12s %5d pages", kind, len(took))
	for name, of := range map[string]func(spent) time.Duration{"until there": func(s spent) time.Duration { return s.wall }, "processor": func(s spent) time.Duration { return s.processor }} {
		slices.SortFunc(took, func(a, b spent) int { return cmp.Compare(of(a), of(b)) })
		at := func(share float64) float64 {
			return float64(of(took[min(int(share*float64(len(took))), len(took)-1)]).Microseconds()) / 1000
		}
		fmt.Printf("; %s: median %.1f ms, p99 %.1f ms, most %.1f ms", name, at(0.5), at(0.99), at(1))
	}
	fmt.Println()
}

func memory(pid int, when string) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return // no Linux
	}
	for _, m := range peak.FindAllStringSubmatch(string(b), -1) {
		fmt.Printf("%s: Vm%s %s kB\n", when, m[1], m[2])
	}
}
