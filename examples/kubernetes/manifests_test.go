// Package kubernetes holds a test alone: the manifests beside it, decoded strictly by the API's own types.
package kubernetes

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
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
