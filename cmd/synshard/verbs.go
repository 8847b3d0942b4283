package main

import "github.com/spf13/cobra"

// A stage is a group of verbs in the help, in the order in which data flow.
type stage struct {
	id, title string
	verbs     []func(*app) *cobra.Command
}

// stages lists every verb there is. Those of model, synset and bench stand in
// their own files.
var stages = []stage{
	{"data", "Data:", []func(*app) *cobra.Command{newIngestCmd, newVerifyCmd, newLsCmd, newStatsCmd, newClassesCmd, newExportCmd, newSampleCmd}},
	{"training", "Training:", []func(*app) *cobra.Command{newTrainCmd, newEngineWorkerCmd}},
	{"prediction", "Prediction:", []func(*app) *cobra.Command{newInferCmd, newMergeCmd, newEvalCmd, newReportCmd, newServeCmd}},
	{"tools", "Tools:", []func(*app) *cobra.Command{newModelCmd, newSynsetCmd, newProvenanceCmd, newBenchCmd, newSetupCmd, newDoctorCmd, newManCmd, newVersionCmd}},
}

func init() { cobra.EnableCommandSorting = false } // verbs stand as data flow

// addVerbs adds all verbs to the root, each in its stage.
func addVerbs(root *cobra.Command, a *app) {
	for _, s := range stages {
		root.AddGroup(&cobra.Group{ID: s.id, Title: s.title})
		for _, newCmd := range s.verbs {
			cmd := newCmd(a)
			cmd.GroupID = s.id
			root.AddCommand(cmd)
		}
	}
	root.SetHelpCommandGroupID("tools")
	root.SetCompletionCommandGroupID("tools")
}
