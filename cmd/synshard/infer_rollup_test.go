package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/model"
)

func TestRollupFlags(t *testing.T) {
	for _, value := range []string{"0", "-0.5", "1.5", "NaN"} {
		cmd := &cobra.Command{}
		columns := rollupColumns(cmd)
		check(t, cmd.Flags().Set("backoff", value))
		if _, err := columns(&app{}, model.Spec{}); err == nil || !strings.Contains(err.Error(), "--backoff") {
			t.Errorf("--backoff %s: %v", value, err)
		}
	}
	if got, err := rollupColumns(&cobra.Command{})(&app{}, model.Spec{}); err != nil || got != nil {
		t.Errorf("without the flags: %v, %v", got, err)
	}
}
