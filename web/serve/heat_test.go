package serve

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/pixel"
)

// TestHeat: a page shows the first prediction and the truth, by one run of the model, and
// nothing else; what the model fails with is told and is no drawing.
func TestHeat(t *testing.T) {
	var runs atomic.Int64
	var asked []int
	fails := error(nil)
	heat := &Heat{Model: "m", Eval: pixel.Eval{Size: 16, Resize: 16}, Of: func(_ context.Context, image []byte, classes []int) ([][]float32, int, error) {
		runs.Add(1)
		asked = classes
		if len(image) != 16*16*3 {
			t.Errorf("an image of %d bytes", len(image))
		}
		return [][]float32{{-5, 0, 0, 8, 0, 0}, {0, 2, 0, 0, 0, 0}}, 3, fails
	}}
	h := handler(t, Options{Predictions: "p", Heat: heat})
	const image = "/image/va%22l%3Ci%3E%252e/2"
	code := func(target string) int { return get(h, target).Code }
	if body := get(h, image).Body.String(); !strings.Contains(body, image+"/heat") {
		t.Errorf("the image's page does not lead there:\n%s", body)
	}
	page := get(h, image+"/heat").Body.String()
	for _, want := range []string{"/heat/none", "/heat/2", "/heat/3", "Taken for", "It is"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	got := map[string]int{}
	for _, what := range []string{"none", "2", "3", "4", "x", "-1"} {
		got[what] = code(image + "/heat/" + what)
	}
	if diff := gocmp.Diff(map[string]int{"none": 200, "2": 200, "3": 200, "4": 404, "x": 404, "-1": 404}, got); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([]int{3, 2}, asked); diff != "" || runs.Load() != 1 {
		t.Errorf("%d runs of the model\n%s", runs.Load(), diff)
	}
	fails = errors.New("no memory left")
	if got := code("/image/va%22l%3Ci%3E%252e/3/heat/none"); got != http.StatusInternalServerError {
		t.Errorf("a model that fails is answered with %d", got)
	}
	for target, h := range map[string]http.Handler{"/image/va%22l%3Ci%3E%252e/1/heat": h, image + "/heat": handler(t, Options{}), image + "/heat/none": handler(t, Options{})} {
		if got := get(h, target).Code; got != http.StatusNotFound {
			t.Errorf("%s where there is none: %d", target, got)
		}
	}
}

// TestHeated: the lightest colour is where a grid is greatest, and what is below nothing is
// as dark as nothing.
func TestHeated(t *testing.T) {
	const side = 12
	grey := make([]byte, side*side*3)
	for i := range grey {
		grey[i] = 128
	}
	out := heated(grey, side, []float32{-9, 0, 0, 2, 0, 4}, 3, 4)
	at := func(x, y int) [3]byte { return [3]byte(out[3*(y*side+x):]) }
	got := map[string][3]byte{"below": at(0, 0), "nothing": at(11, 0), "half": at(0, 11), "most": at(11, 11)}
	want := map[string][3]byte{"below": {102, 102, 103}, "nothing": {102, 102, 103}, "half": {155, 95, 108}, "most": {215, 217, 153}}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("colours (-want +got):\n%s", diff)
	}
	if cold := heated(grey, side, make([]float32, 6), 3, 0); [3]byte(cold) != want["nothing"] {
		t.Errorf("without heat: %v", cold[:3])
	}
}
