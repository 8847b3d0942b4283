package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newManCmd(a *app) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "man --out DIR",
		Short: "Write the manual pages of all verbs",
		Long: `Writes a manual page (section 1) for every verb into a directory, from the same
texts that --help prints.`,
		Example: "  synshard man --out ~/.local/share/man/man1 && man synshard-ingest",
		Args:    exactly(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := os.MkdirAll(out, 0o777); err != nil {
				return err
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true // the same binary writes the same pages
			if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "synshard", Manual: "synshard"}, out); err != nil {
				return fmt.Errorf("write manual pages into %s: %w", out, err)
			}
			pages, err := filepath.Glob(filepath.Join(out, "synshard*.1"))
			if err != nil {
				return err
			}
			return a.printFiles(pages)
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "directory for the pages; made when missing")
	cobra.CheckErr(cmd.MarkFlagRequired("out"))
	cobra.CheckErr(cmd.MarkFlagDirname("out"))
	return cmd
}
