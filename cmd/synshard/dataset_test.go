package main

import "testing"

func TestParsePart(t *testing.T) {
	slurm := func(id, first, count, step string) map[string]string {
		return map[string]string{"SLURM_ARRAY_TASK_ID": id, "SLURM_ARRAY_TASK_MIN": first, "SLURM_ARRAY_TASK_COUNT": count, "SLURM_ARRAY_TASK_STEP": step}
	}
	for _, c := range []struct {
		text        string
		env         map[string]string
		part, parts int
		bad         bool
	}{
		{text: ""},
		{text: "0/1", part: 0, parts: 1},
		{text: "3/8", part: 3, parts: 8},
		{text: "8/8", bad: true},
		{text: "-1/8", bad: true},
		{text: "1", bad: true},
		{text: "1/2/3", bad: true},
		{text: "auto", bad: true},
		{text: "auto", env: slurm("4", "", "5", ""), part: 4, parts: 5},
		{text: "auto", env: slurm("5", "1", "5", "1"), part: 4, parts: 5},
		{text: "auto", env: slurm("16", "10", "4", "2"), part: 3, parts: 4},
		{text: "auto", env: slurm("17", "10", "4", "2"), bad: true},
		{text: "auto", env: slurm("5", "", "5", ""), bad: true},
		{text: "auto", env: slurm("1", "", "", ""), bad: true},
		{text: "auto", env: map[string]string{"JOB_COMPLETION_INDEX": "2", "JOB_COMPLETIONS": "3"}, part: 2, parts: 3},
		{text: "auto", env: map[string]string{"JOB_COMPLETION_INDEX": "2"}, bad: true},
	} {
		part, parts, err := parsePart(c.text, func(key string) string { return c.env[key] })
		if (err != nil) != c.bad || part != c.part || parts != c.parts {
			t.Errorf("%q with %v: %d of %d, %v; want %d of %d", c.text, c.env, part, parts, err, c.part, c.parts)
		}
	}
}
