// Package jobarray says which job of an array of jobs this process is: as its user
// says it, or as Slurm or Kubernetes do.
package jobarray

import (
	"fmt"
	"strconv"
	"strings"
)

// schedulers are the variables by which each tells a job of an array its place:
// index, smallest index, number, step between indexes.
var schedulers = []struct{ name, index, first, count, step string }{
	{"Slurm", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_STEP"},
	{"Kubernetes Indexed Job", "JOB_COMPLETION_INDEX", "", "JOB_COMPLETIONS", ""},
}

// Parse reads i/n, job i of n with i from 0, or auto, by the variables of the
// scheduler that started this process; "" is everything, as 0 of 0. Errors begin with
// the text that they are of.
func Parse(text string, getenv func(string) string) (job, jobs int, err error) {
	if text == "" {
		return 0, 0, nil
	}
	if text == "auto" {
		for _, s := range schedulers {
			if getenv(s.index) != "" {
				return place(s.name, getenv, s.index, s.first, s.count, s.step)
			}
		}
		return 0, 0, fmt.Errorf("auto: this is no job of an array (neither %s nor %s is set)", schedulers[0].index, schedulers[1].index)
	}
	i, n, ok := strings.Cut(text, "/")
	job, err1 := strconv.Atoi(i)
	jobs, err2 := strconv.Atoi(n)
	if !ok || err1 != nil || err2 != nil || job < 0 || job >= jobs {
		return 0, 0, fmt.Errorf("%q: want i/n with 0 <= i < n, or auto", text)
	}
	return job, jobs, nil
}

// place reads a job's place from the variables so named. Those for the smallest index
// and the step may be missing or unset: 0 and 1.
func place(name string, getenv func(string) string, index, first, count, step string) (job, jobs int, err error) {
	var values [4]int
	for i, key := range []string{index, count, first, step} {
		text := getenv(key)
		if i >= 2 && (key == "" || text == "") {
			text = []string{"", "", "0", "1"}[i]
		}
		if values[i], err = strconv.Atoi(text); err != nil {
			return 0, 0, fmt.Errorf("auto: %s with %s=%q", name, key, text)
		}
	}
	at, n, stride := values[0]-values[2], values[1], values[3]
	if stride < 1 || at < 0 || at%stride != 0 || at/stride >= n {
		return 0, 0, fmt.Errorf("auto: %s with index %d, first %d, step %d of %d", name, values[0], values[2], stride, n)
	}
	return at / stride, n, nil
}
