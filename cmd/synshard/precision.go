package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// precisions are the values of --precision; auto goes by the device.
var precisions = []string{"auto", "fp32", "tf32", "bf16", "fp16"}

// choiceList is a choice of several, one after the other.
type choiceList struct {
	list   *[]string
	values []string
	set    bool // the default is gone
}

// choicesVar is choiceVar for a verb that works through several values.
func choicesVar(cmd *cobra.Command, p *[]string, name string, value []string, usage string, values ...string) {
	*p = value
	cmd.Flags().Var(&choiceList{list: p, values: values}, name, usage)
	complete(cmd, name, values...)
}

func (c *choiceList) String() string { return strings.Join(*c.list, ",") }
func (c *choiceList) Type() string   { return "string" }
func (c *choiceList) Set(s string) error {
	names := strings.Split(s, ",")
	for _, name := range names {
		if !slices.Contains(c.values, name) {
			return fmt.Errorf("want %s", oneOf(c.values))
		}
	}
	if !c.set {
		*c.list, c.set = nil, true
	}
	*c.list = append(*c.list, names...)
	return nil
}
