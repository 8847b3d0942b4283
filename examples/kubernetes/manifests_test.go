// Package kubernetes holds a test alone: the manifests beside it, decoded strictly by the API's own types.
package kubernetes

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// TestManifests decodes every document. A field that the API does not have is an error, and so is a Job that the API's
// server would refuse for how its pods are indexed.
func TestManifests(t *testing.T) {
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d manifests, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range bytes.Split(text, []byte("\n---\n")) {
			var kind metav1.TypeMeta
			if err := yaml.Unmarshal(doc, &kind); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			switch kind.APIVersion + " " + kind.Kind {
			case "batch/v1 Job":
				var job batchv1.Job
				if err := yaml.UnmarshalStrict(doc, &job); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				checkJob(t, file, &job)
			case "v1 Service":
				var service corev1.Service
				if err := yaml.UnmarshalStrict(doc, &service); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				if service.Spec.Selector["job-name"] == "" || service.Spec.ClusterIP != corev1.ClusterIPNone {
					t.Errorf("%s: the service gives the job's pods no names", file)
				}
			default:
				t.Errorf("%s: %s %s is not known here", file, kind.APIVersion, kind.Kind)
			}
		}
	}
}

// named are the places in the Dockerfile's comments that build the image.
var named = regexp.MustCompile(`-t (\S+)`)

// aside is where a command keeps copies of what it reads and parts of what it writes.
var aside = regexp.MustCompile(`--cache-dir (/\w+)(?:.*--cache-bytes (\d+))?`)

// checkStore wants a container that reads and writes a bucket to be known there, and a volume of a bounded size to be where
// it keeps what it reads and writes, or else at /tmp.
func checkStore(t *testing.T, file string, c *corev1.Container, volumes []corev1.Volume) {
	words := strings.Join(append(c.Command, c.Args...), " ")
	known := slices.ContainsFunc(c.EnvFrom, func(e corev1.EnvFromSource) bool { return e.SecretRef != nil && e.SecretRef.Name == "synshard-store" })
	if !strings.Contains(words, "s3://") || !known {
		t.Errorf("%s: %v names no bucket, or is not known there", file, c.Args)
	}
	kept := aside.FindStringSubmatch(words)
	if kept == nil {
		kept = []string{"", "/tmp", "0"}
	}
	most := int64(64 << 30) // what is kept where --cache-bytes does not say it
	if kept[2] != "" {
		var err error
		if most, err = strconv.ParseInt(kept[2], 10, 64); err != nil {
			t.Error(err)
		}
	}
	for _, m := range c.VolumeMounts {
		for _, v := range volumes {
			if v.Name == m.Name && m.MountPath == kept[1] && v.EmptyDir != nil && v.EmptyDir.SizeLimit != nil && v.EmptyDir.SizeLimit.Value() > most {
				return
			}
		}
	}
	t.Errorf("%s: no volume is mounted at %s that is bounded, and larger than the %d bytes kept there", file, kept[1], most)
}

func checkJob(t *testing.T, file string, job *batchv1.Job) {
	spec := job.Spec
	indexed := spec.CompletionMode != nil && *spec.CompletionMode == batchv1.IndexedCompletion
	if spec.BackoffLimitPerIndex != nil && !indexed {
		t.Errorf("%s: backoffLimitPerIndex is for Indexed Jobs", file)
	}
	if spec.PodFailurePolicy != nil && spec.Template.Spec.RestartPolicy != corev1.RestartPolicyNever {
		t.Errorf("%s: podFailurePolicy wants restartPolicy Never", file)
	}
	docker, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range spec.Template.Spec.Containers {
		checkStore(t, file, &c, spec.Template.Spec.Volumes)
		if image := named.FindSubmatch(docker); image == nil || string(image[1]) != c.Image {
			t.Errorf("%s: the image %s is not what the Dockerfile makes", file, c.Image)
		}
		for _, e := range c.Env {
			if (e.Name == "JOB_COMPLETIONS" || e.Name == "WORLD_SIZE") && (spec.Completions == nil || e.Value != strconv.Itoa(int(*spec.Completions))) {
				t.Errorf("%s: %s is %s, and completions %v", file, e.Name, e.Value, spec.Completions)
			}
		}
	}
}
