package serve

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/web/explore"
	"github.com/synshard/synshard/web/look"
)

// class is a class with the address of its page, where there is one.
type class struct {
	look.Label
	Key string
}

func (s *site) class(name string) class { return class{s.e.Label(name), s.e.Key(name)} }

// guess is a class with its probability.
type guess struct {
	class
	Share float64
	Right bool
}

// Percent is the share of 100.
func (g guess) Percent() float64 { return 100 * g.Share }

// judgment is what a model said of an image.
type judgment struct {
	Failed  string // why it said nothing; "": it did not fail
	Known   bool   // the truth is
	Truth   class
	Right   bool
	Guesses []guess
}

// First is the first guess.
func (j judgment) First() guess { return j.Guesses[0] }

func (s *site) judge(r prediction.Row) *judgment {
	p := s.e.Predictions()
	j := &judgment{Known: r.Label >= 0}
	if j.Known {
		j.Truth = s.class(r.Synset)
	}
	if r.Top == nil {
		j.Failed = "the image could not be read"
		if r.Error != "" {
			j.Failed = r.Error
		}
		return j
	}
	for k, c := range r.Top {
		j.Guesses = append(j.Guesses, guess{s.class(p.Classes[c]), float64(r.Prob[k]), j.Known && int64(c) == r.Label})
	}
	j.Right = j.Guesses[0].Right
	return j
}

// judged is the judgments of some images; nil where there is none.
func (s *site) judged(images []explore.Image) ([]*judgment, error) {
	out := make([]*judgment, len(images))
	p := s.e.Predictions()
	if p == nil {
		return out, nil
	}
	var of, numbers []int
	for k, im := range images {
		if i, ok := p.RowOf(im.Ref); ok {
			of, numbers = append(of, k), append(numbers, i)
		}
	}
	rows, err := p.Rows(numbers)
	if err != nil {
		return nil, err
	}
	for i, k := range of {
		out[k] = s.judge(rows[i])
	}
	return out, nil
}

// shot is an image of a page of many.
type shot struct {
	Ref        explore.Ref
	Found      bool // there is such an image
	Path       string
	Alt        string
	Notes      []string // its size, its split
	Judgment   *judgment
	Similarity float64
}

func (s *site) shots(images []explore.Image) (out []shot, err error) {
	judgments, err := s.judged(images)
	if err != nil {
		return nil, err
	}
	for k, im := range images {
		one := shot{Ref: im.Ref, Found: true, Path: im.Path, Alt: im.Path, Notes: []string{size(im.Length)}, Judgment: judgments[k]}
		if im.Width > 0 {
			one.Notes = []string{fmt.Sprintf("%d\u00a0×\u00a0%d, %s", im.Width, im.Height, size(im.Length))}
		}
		if im.Synset != "" {
			one.Alt = s.e.Label(im.Synset).String() + ", " + im.Path
		}
		out = append(out, one)
	}
	return out, nil
}

// treeNode is a node of a tree that is open as far as it has Children.
type treeNode struct {
	*explore.Node
	Children []*treeNode
}

func branches(nodes []*explore.Node) (out []*treeNode) {
	for _, n := range nodes {
		out = append(out, &treeNode{Node: n})
	}
	return out
}

// unfold opens a tree, that with most images first, as long as it has no more lines than most.
func (s *site) unfold(roots []*treeNode, most int) {
	closed, lines := slices.Clone(roots), len(roots)
	for len(closed) > 0 {
		largest := slices.MaxFunc(closed, func(a, b *treeNode) int { return cmp.Compare(a.Below.Images, b.Below.Images) })
		closed = slices.DeleteFunc(closed, func(n *treeNode) bool { return n == largest })
		if !largest.HasChildren {
			continue
		}
		children, _ := s.e.Children(largest.Key)
		if lines+len(children) > most {
			continue
		}
		largest.Children = branches(children)
		closed, lines = append(closed, largest.Children...), lines+len(children)
	}
}

type homePage struct {
	explore.Summary
	Roots   []*treeNode
	Samples []shot
	Model   string
	Figures *explore.Predictions
	Joined  int
}

func (s *site) home(*http.Request) (any, error) {
	p := homePage{Summary: s.e.Summary(), Figures: s.e.Predictions(), Model: s.Predictions}
	roots, _ := s.e.Children("")
	p.Roots = branches(roots)
	s.unfold(p.Roots, treeLines)
	if p.Figures != nil {
		p.Joined = p.Figures.Joined()
	}
	var images []explore.Image
	left := samples
	for i, split := range p.Splits {
		n := min(left/(len(p.Splits)-i), int(split.Images))
		for k := range n {
			im, err := s.e.Image(explore.Ref{Split: split.Split, Row: int(split.Images) * (2*k + 1) / (2 * n)})
			if err != nil {
				return nil, err
			}
			images = append(images, im)
		}
		left -= n
	}
	var err error
	p.Samples, err = s.shots(images)
	return p, err
}

// branchPage is what is right below a node, to be put into a tree.
type branchPage struct{ Nodes []*treeNode }

func (s *site) tree(r *http.Request) (any, error) {
	key := r.PathValue("key")
	if _, ok := s.e.Node(key); !ok {
		return nil, &notFound{fmt.Sprintf("there is no synset %q", key)}
	}
	children, _ := s.e.Children(key)
	return branchPage{branches(children)}, nil
}

type synsetPage struct {
	*explore.Node
	Paths    [][]*explore.Node
	Children []*treeNode
	Without  int // more children, without images
	Figures  *explore.Figures
	Below    bool // images of what is below it are shown, too
	Split    string
	Splits   []string // to choose from
	Images   []shot
	Pager    pager
}

func (s *site) synset(r *http.Request) (any, error) {
	key, q := r.PathValue("key"), r.URL.Query()
	n, ok := s.e.Node(key)
	if !ok {
		return nil, &notFound{fmt.Sprintf("there is no synset %q in WordNet or in the dataset", key)}
	}
	p := synsetPage{Node: n, Paths: s.e.Paths(key), Split: q.Get("split")}
	p.Below = n.HasChildren && (q.Get("of") != "own" || n.Own.Images == 0)
	for _, t := range s.e.Summary().Splits {
		p.Splits = append(p.Splits, t.Split)
	}
	children, without := s.e.Children(key)
	p.Without, p.Children = without, branches(children)
	if judged := s.e.Predictions(); judged != nil {
		if f, ok := judged.Figures(key); ok {
			p.Figures = &f
		}
	}
	var err error
	if p.Pager, err = newPager(r); err != nil {
		return nil, err
	}
	images, total, err := s.e.Images(key, p.Split, p.Below, p.Pager.from(imagesAPage), imagesAPage)
	if err != nil {
		return nil, err
	}
	if err := p.Pager.of(total, imagesAPage); err != nil {
		return nil, err
	}
	p.Images, err = s.shots(images)
	return p, err
}

type imagePage struct {
	Image         explore.Image
	Class         class
	Source        string
	Damage        string // why it cannot be shown
	Boxes         []box
	Judgment      *judgment
	Neighbours    bool // there may be some
	Heat          bool // the model is here
	Before, After *explore.Ref
	Number, Total int
}

// box is a thing marked in the image.
type box struct {
	class
	X, Y, W, H int32
}

func (s *site) image(r *http.Request) (any, error) {
	im, err := s.imageOf(r)
	if err != nil {
		return nil, err
	}
	p := imagePage{Image: im, Class: s.class(im.Synset), Source: s.e.Source(im.Split)}
	for _, o := range im.Objects {
		p.Boxes = append(p.Boxes, box{s.class(o.Synset), o.XMin, o.YMin, max(o.XMax-o.XMin, 0), max(o.YMax-o.YMin, 0)})
	}
	p.Before, p.After, p.Number, p.Total = s.e.Beside(&im)
	judgments, err := s.judged([]explore.Image{im})
	if err != nil {
		return nil, err
	}
	p.Judgment = judgments[0]
	p.Neighbours = p.Judgment != nil && p.Judgment.Failed == "" && s.e.Predictions().HasNeighbours()
	p.Heat = p.Judgment != nil && p.Judgment.Failed == "" && s.Heat != nil
	v, damage := s.viewOf(r, &im)
	if ofReading(r, damage) {
		return nil, damage
	}
	if damage != nil {
		p.Damage = reason(damage)
	}
	if v.width > 0 { // the index may not know it
		p.Image.Width, p.Image.Height = int32(v.width), int32(v.height)
	}
	return p, nil
}

type neighboursPage struct {
	explore.Neighbours
	Image   explore.Image
	Rows    int
	One     shot
	Classes []class
	Alike   []shot
}

func (s *site) neighbours(r *http.Request) (any, error) {
	im, err := s.imageOf(r)
	if err != nil {
		return nil, err
	}
	p, err := s.predictions()
	if errors.Is(err, awaited{}) {
		return nil, err
	}
	if err != nil || p.Width == 0 {
		return nil, &notFound{"no embeddings were predicted: 'synshard infer --embedding=fp16' writes them"}
	}
	if !p.HasNeighbours() {
		return nil, &notFound{fmt.Sprintf("%d embeddings are too many to look at all, and in this file they cannot be read one by one: 'synshard infer --embedding=fp16 --out FILE.arrow' writes such as can", p.Len())}
	}
	row, ok := p.RowOf(im.Ref)
	if !ok {
		return nil, &notFound{"the predictions have no row of this image"}
	}
	page := neighboursPage{Image: im, Rows: p.Len()}
	if page.Neighbours, err = p.Neighbours(r.Context(), row); err != nil {
		return nil, err
	}
	for _, name := range page.Neighbours.Classes {
		page.Classes = append(page.Classes, s.class(name))
	}
	of, err := s.shots([]explore.Image{im})
	if err != nil {
		return nil, err
	}
	page.One = of[0]
	page.Alike, err = s.alike(page.Near)
	return page, err
}

// alike are the neighbours as they are shown.
func (s *site) alike(near []explore.Neighbour) (out []shot, err error) {
	numbers := make([]int, len(near))
	for k, n := range near {
		numbers[k] = n.Number
	}
	rows, err := s.e.Predictions().Rows(numbers)
	if err != nil {
		return nil, err
	}
	for k, n := range near {
		row := rows[k]
		out = append(out, shot{Ref: n.Image, Found: n.Found, Path: row.Path, Alt: row.Path, Judgment: s.judge(row), Similarity: n.Similarity})
	}
	return out, nil
}

type searchPage struct {
	Text  string
	Nodes []*explore.Node
	All   int
}

func (s *site) search(r *http.Request) (any, error) {
	p := searchPage{Text: r.URL.Query().Get("q")}
	if len(p.Text) > 200 {
		return nil, &notFound{"that is too long to look for"}
	}
	p.Nodes, p.All = s.e.Search(p.Text, found)
	return p, nil
}
