package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCommandLine: what is recorded of a call makes the same call again, and holds no secret.
func TestCommandLine(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	check(t, os.WriteFile(config, []byte("train:\n  keep: 7\n"), 0o666))
	t.Setenv(configVariable, config)
	t.Setenv("SYNSHARD_TRAIN_EPOCHS", "3")
	t.Setenv(secretVariable, "secret-of-a-group-of-processes")
	t.Setenv("MLFLOW_TRACKING_TOKEN", "secret")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	for name, c := range map[string]struct{ line, want []string }{
		"environment, file and flags": {
			[]string{"train", "a set", "-o", "runs/a", "--set", "augment.flip=false", "--set=lr=0.1", "--overwrite"},
			[]string{"synshard", "train", "a set", "--epochs=3", "--keep=7", "--out=runs/a", "--overwrite=true", "--set=augment.flip=false", "--set=lr=0.1"},
		},
		"addresses": {
			[]string{"train", "s3://bucket/set?region=x&secret=1", "--weights=https://host/w.pth?signature=secret", "--mlflow=https://secret@host/secret?secret", "--epochs", "2", "--keep", "1"},
			[]string{"synshard", "train", "s3://bucket/set", "--epochs=2", "--keep=1", "--mlflow=https://host", "--weights=https://host/w.pth"},
		},
		"lists and maps": {
			[]string{"infer", "m.onnx", "https://host/a.jpg?secret", "--mean", "0.5,0.25,0.49803922", "--std", "0.2294117647058823529", "--ep-option", "a=1"},
			[]string{"synshard", "infer", "m.onnx", "https://host/a.jpg", "--ep-option=a=1", "--mean=0.5", "--mean=0.25", "--mean=0.49803922", "--std=0.22941176470588234"},
		},
	} {
		cmd, rest, err := newRoot(&app{}).Find(c.line)
		check(t, err)
		check(t, cmd.ParseFlags(rest))
		check(t, flagsFromEnv(cmd))
		check(t, flagsFromConfig(cmd))
		got := commandLine(cmd, cmd.Flags().Args())
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if strings.Contains(strings.Join(got, " "), "secret") {
			t.Errorf("%s: a secret in %q", name, got)
		}
		again, rest, err := newRoot(&app{}).Find(got[1:])
		check(t, err)
		check(t, again.ParseFlags(rest))
		if twice := commandLine(again, again.Flags().Args()); !slices.Equal(twice, got) {
			t.Errorf("%s: made again it is %q, not %q", name, twice, got)
		}
	}
}
