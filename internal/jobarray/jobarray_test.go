package jobarray

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	slurm := func(id, first, count, step string) map[string]string {
		return map[string]string{"SLURM_ARRAY_TASK_ID": id, "SLURM_ARRAY_TASK_MIN": first, "SLURM_ARRAY_TASK_COUNT": count, "SLURM_ARRAY_TASK_STEP": step}
	}
	for _, c := range []struct {
		text      string
		env       map[string]string
		job, jobs int
		bad       bool
	}{
		{text: ""},
		{text: "0/1", job: 0, jobs: 1},
		{text: "3/8", job: 3, jobs: 8},
		{text: "8/8", bad: true},
		{text: "-1/8", bad: true},
		{text: "1", bad: true},
		{text: "1/2/3", bad: true},
		{text: "auto", bad: true},
		{text: "auto", env: slurm("4", "", "5", ""), job: 4, jobs: 5},
		{text: "auto", env: slurm("5", "1", "5", "1"), job: 4, jobs: 5},
		{text: "auto", env: slurm("16", "10", "4", "2"), job: 3, jobs: 4},
		{text: "auto", env: slurm("17", "10", "4", "2"), bad: true},
		{text: "auto", env: slurm("5", "", "5", ""), bad: true},
		{text: "auto", env: slurm("1", "", "", ""), bad: true},
		{text: "auto", env: map[string]string{"JOB_COMPLETION_INDEX": "2", "JOB_COMPLETIONS": "3"}, job: 2, jobs: 3},
		{text: "auto", env: map[string]string{"JOB_COMPLETION_INDEX": "2"}, bad: true},
	} {
		job, jobs, err := Parse(c.text, func(key string) string { return c.env[key] })
		if (err != nil) != c.bad {
			t.Errorf("%q with %v: %v", c.text, c.env, err)
		}
		if diff := cmp.Diff([]int{c.job, c.jobs}, []int{job, jobs}); diff != "" {
			t.Errorf("%q with %v: job and jobs (-want +got):\n%s", c.text, c.env, diff)
		}
	}
}
