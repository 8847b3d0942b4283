// Package trial finds the way of running a network that is fastest where it runs: the engine,
// threads and batch. What is tried gives the same predictions, to within Tolerance: precision is
// not a part of a way, and an engine that rounds otherwise is left out. What was found is
// remembered for the same model on the same processors with the same libraries.
package trial

import (
	"fmt"

	"github.com/synshard/synshard/infer"
)

// Way is how a network is run.
type Way struct {
	Engine  string `json:"engine"`  // by the name that the caller has for it
	Threads int    `json:"threads"` // of one run; 0: on a GPU
	Runs    int    `json:"runs"`    // at a time
	Batch   int    `json:"batch"`   // images a run
}

// Tried is a way, and what came of it.
type Tried struct {
	Way
	PerSecond float64 `json:"images_per_second"`  // median of what was measured; 0: nothing was
	LeftOut   string  `json:"left_out,omitempty"` // why it may not be chosen
}

// Of is the way in which a network is run.
func Of(engine string, n *infer.Network) Way {
	return Way{Engine: engine, Threads: n.Threads, Runs: n.Runs, Batch: n.Batch}
}

func (w Way) String() string {
	if w.Runs == 0 {
		return w.Engine
	}
	text := fmt.Sprintf("%s, %s at a time", w.Engine, several(w.Runs, "run"))
	if w.Threads > 0 {
		text += " of " + several(w.Threads, "thread")
	}
	return fmt.Sprintf("%s, batch %d", text, w.Batch)
}

func (t Tried) String() string {
	text := t.Way.String()
	if t.PerSecond > 0 {
		text += fmt.Sprintf(": %.1f images/s", t.PerSecond)
	}
	if t.LeftOut != "" {
		text += "; left out: " + t.LeftOut
	}
	return text
}

func several(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
