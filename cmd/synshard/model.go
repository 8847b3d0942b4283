package main

import "github.com/spf13/cobra"

func newModelCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "model",
		Short:   "Show networks, convert their weights",
		Example: "  synshard model list\n  synshard model describe inception_v3 --savings\n  synshard model import inception_v3_google-0cc3c7bd.pth --classes imagenet --out inception.safetensors",
	}
	cmd.AddCommand(newModelListCmd(a), newModelDescribeCmd(a), newModelImportCmd(a), newModelExportCmd(a), newModelQuantizeCmd(a), newModelCardCmd(a))
	return cmd
}
