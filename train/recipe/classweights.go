package recipe

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// ParseClassWeights reads a file of class weights: a line a class, its name and a number
// above 0, with spaces, a tab or a comma between them; # begins a comment line, but where a class is
// called so. Each of classes has one line, and nothing else has. The weights are in the order of classes.
func ParseClassWeights(text []byte, classes []string) ([]float64, error) {
	place := make(map[string]int, len(classes))
	for i, c := range classes {
		place[c] = i
	}
	weights := make([]float64, len(classes))
	lines := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		cut := strings.LastIndexAny(line, " \t,")
		name, number := strings.TrimRight(line[:max(cut, 0)], " \t,"), line[cut+1:]
		i, ok := place[name]
		switch {
		case line == "", line[0] == '#' && !ok:
			continue
		case cut < 0:
			return nil, fmt.Errorf("line %d: want a class and its weight", n)
		}
		w, err := strconv.ParseFloat(number, 64)
		if err != nil || !ClassWeight(w) {
			return nil, fmt.Errorf("line %d: %s has the weight %q: want a number above 0 (%g to %g)", n, name, number, leastSingle, mostSingle)
		}
		if !ok {
			return nil, fmt.Errorf("line %d: %q is none of the %d classes that are trained", n, name, len(classes))
		}
		if weights[i] != 0 {
			return nil, fmt.Errorf("line %d: %s has a weight already", n, name)
		}
		weights[i] = w
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	for i, w := range weights {
		if w == 0 {
			return nil, fmt.Errorf("class %s has no weight", classes[i])
		}
	}
	return weights, nil
}

// ClassWeight says whether a number can be the weight of a class: above 0, and in single
// precision too.
func ClassWeight(w float64) bool { return w >= leastSingle && w <= mostSingle }
