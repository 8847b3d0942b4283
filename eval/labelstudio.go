package eval

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/synshard/synshard/storage/files"
)

// Files of WriteLabelStudio.
const (
	labelStudioTasks  = "tasks.json"
	labelStudioConfig = "config.xml"
)

// LabelStudio says how suspects become tasks of Label Studio.
type LabelStudio struct {
	Classes []string                   // of the model: what a person may choose
	Words   func(synset string) string // what a class is called for people
	// ImageURL is where an image lies for whoever looks at the tasks; {path} and {synset} in it
	// become an image's path and the class that its label says.
	ImageURL string
	Model    string // told as the version of the model that predicted
}

// task is a task of Label Studio, in its JSON format for import.
type task struct {
	Data        taskData         `json:"data"`
	Predictions []taskPrediction `json:"predictions"`
}

type taskData struct {
	Image      string  `json:"image"` // URL
	Path       string  `json:"path"`
	Given      string  `json:"given"`
	GivenWords string  `json:"given_words"`
	Confidence float64 `json:"self_confidence"` // of the given class
}

type taskPrediction struct {
	Model  string       `json:"model_version"`
	Score  float64      `json:"score"`
	Result []taskChoice `json:"result"`
}

type taskChoice struct {
	From  string       `json:"from_name"`
	To    string       `json:"to_name"`
	Type  string       `json:"type"`
	Value choicesValue `json:"value"`
}

type choicesValue struct {
	Choices []string `json:"choices"`
}

// WriteLabelStudio writes suspects for people to look at in Label Studio: tasks.json, a task a
// suspect in their order, with the suggested class chosen beforehand; and config.xml, the
// labelling configuration that these go with.
func WriteLabelStudio(dir files.Dir, s *Suspects, o LabelStudio) error {
	if err := dir.MkdirAll("."); err != nil {
		return err
	}
	return cmp.Or(files.Write(dir, labelStudioConfig, o.config), files.Write(dir, labelStudioTasks, func(w io.Writer) error { return o.tasks(w, s) }))
}

// tasks writes them one after the other: there may be millions.
func (o *LabelStudio) tasks(w io.Writer, s *Suspects) error {
	sep := "["
	for _, r := range s.Suspected {
		b, err := json.Marshal(task{
			Data: taskData{Image: o.imageURL(r.Path, r.Given), Path: r.Path, Given: r.Given, GivenWords: o.Words(r.Given), Confidence: r.SelfConfidence},
			Predictions: []taskPrediction{{o.Model, r.Confidence,
				[]taskChoice{{"synset", "image", "choices", choicesValue{[]string{r.Suggested}}}}}},
		})
		if err == nil {
			_, err = fmt.Fprintf(w, "%s\n%s", sep, b)
		}
		if err != nil {
			return err
		}
		sep = ","
	}
	if len(s.Suspected) == 0 {
		_, err := io.WriteString(w, "[]\n")
		return err
	}
	_, err := io.WriteString(w, "\n]\n")
	return err
}

// imageURL is where an image lies. A path that is a URL, where images were predicted by theirs,
// is one already.
func (o *LabelStudio) imageURL(path, synset string) string {
	if !strings.HasPrefix(o.ImageURL, "{path}") || !strings.Contains(path, "://") {
		path = escapedPath(path)
	}
	return strings.NewReplacer("{path}", path, "{synset}", escapedPath(synset)).Replace(o.ImageURL)
}

// escapedPath is a path as URLs and their queries have it.
func escapedPath(p string) string { return strings.ReplaceAll(url.QueryEscape(p), "%2F", "/") }

// view and what is in it are Label Studio's tags.
type view struct {
	XMLName xml.Name `xml:"View"`
	Image   struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	} `xml:"Image"`
	Header struct {
		Value string `xml:"value,attr"`
	} `xml:"Header"`
	Choices struct {
		Name    string   `xml:"name,attr"`
		To      string   `xml:"toName,attr"`
		Choice  string   `xml:"choice,attr"`
		Layout  string   `xml:"layout,attr"`
		Choices []choice `xml:"Choice"`
	} `xml:"Choices"`
}

type choice struct {
	Value string `xml:"value,attr"` // what is shown
	Alias string `xml:"alias,attr"` // what is kept
}

func (o *LabelStudio) config(w io.Writer) error {
	var v view
	v.Image.Name, v.Image.Value = "image", "$image"
	v.Header.Value = "The label says: $given_words"
	v.Choices.Name, v.Choices.To, v.Choices.Choice, v.Choices.Layout = "synset", "image", "single", "select"
	for _, c := range o.Classes {
		v.Choices.Choices = append(v.Choices.Choices, choice{o.Words(c), c})
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
