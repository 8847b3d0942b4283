package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/infer/prediction"
)

func TestRollupFlags(t *testing.T) {
	columns := func(args ...string) ([]prediction.Derived, error) {
		var f rollupOptions
		cmd := &cobra.Command{}
		f.AddFlags(cmd)
		check(t, cmd.ParseFlags(args))
		return f.columns(&app{}, "", nil)
	}
	for _, value := range []string{"0", "-0.5", "1.5", "NaN"} {
		if _, err := columns("--backoff", value); err == nil || !strings.Contains(err.Error(), "--backoff") {
			t.Errorf("--backoff %s: %v", value, err)
		}
	}
	if got, err := columns(); err != nil || got != nil {
		t.Errorf("without the flags: %v, %v", got, err)
	}
}
