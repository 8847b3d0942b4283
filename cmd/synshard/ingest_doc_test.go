package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/internal/sample"
)

// ingestDoc says what each command line of the tables in docs/INGEST.md gives
// from the fixtures: images by split, and first what must be there.
var ingestDoc = map[string]struct {
	before string
	splits map[string]int
	code   int
}{
	"--train ILSVRC2012_img_train.tar --val ILSVRC2012_img_val.tar --test ILSVRC2012_img_test.tar --devkit ILSVRC2012_devkit_t12.tar.gz --out imagenet": {splits: map[string]int{"train": 24, "val": 16, "test": 3}},
	"archives --out imagenet": {splits: map[string]int{"train": 24, "val": 16, "test": 3}},
	"--train ILSVRC2012_img_train.tar --devkit ILSVRC2012_devkit_t12.tar.gz --out imagenet": {splits: map[string]int{"train": 24}},
	"--val ILSVRC2012_img_val.tar --devkit ILSVRC2012_devkit_t12.tar.gz --out imagenet": {
		before: "--train ILSVRC2012_img_train.tar --devkit ILSVRC2012_devkit_t12.tar.gz --out imagenet", splits: map[string]int{"train": 24, "val": 16}},
	"--boxes boxes --out imagenet":                                                              {before: "archives --out imagenet", splits: map[string]int{"train": 24, "val": 16, "test": 3}},
	"imagenet-object-localization-challenge.zip --out imagenet":                                 {splits: map[string]int{"train": 2, "val": 1, "test": 1}},
	"winter21_whole.tar.gz --out imagenet21k":                                                   {splits: map[string]int{"train": 24}},
	"imagenetv2 --classes imagenet-1k --as-split val --out v2":                                  {splits: map[string]int{"val": 3}},
	"tiny-imagenet-200 --out tiny":                                                              {splits: map[string]int{"train": 2, "val": 1, "test": 1}},
	"--train - --devkit ILSVRC2012_devkit_t12.tar.gz --out imagenet < ILSVRC2012_img_train.tar": {splits: map[string]int{"train": 24}},
	"photos --out mine":                               {splits: map[string]int{"train": 24}},
	"photos --val-fraction 0.2 --seed 1 --out mine":   {splits: map[string]int{}},
	"pets --out mine":                                 {splits: map[string]int{"train": 4, "val": 2}},
	"--train photos --val other --out mine":           {splits: map[string]int{"train": 24, "val": 2}},
	"photos --as-split val --out mine":                {splits: map[string]int{"val": 24}},
	"photos --classes classes.txt --out mine":         {splits: map[string]int{"train": 24}},
	"images.csv --out mine":                           {splits: map[string]int{"train": 24}},
	"onehot.csv --out mine":                           {splits: map[string]int{"train": 3}},
	"flowers --out mine":                              {splits: map[string]int{"train": 2}},
	"food-101 --out mine":                             {splits: map[string]int{"train": 3, "test": 1}},
	"parted --out mine":                               {splits: map[string]int{"train": 2, "test": 2}},
	"nested --layout top --out mine":                  {splits: map[string]int{"train": 4}},
	"hf --out mine":                                   {splits: map[string]int{"train": 24, "val": 16, "test": 3}},
	"hf/data/train-00000-of-00001.parquet --out mine": {splits: map[string]int{"train": 24}},
	"imagefolder --out mine":                          {splits: map[string]int{"train": 2}},
	"wds/*.tar --out mine":                            {splits: map[string]int{"train": 24, "val": 16, "test": 3}},
	"exported --out mine":                             {splits: map[string]int{"train": 24, "val": 16, "test": 3}},
}

// TestIngestDoc runs every command line of the tables in docs/INGEST.md.
func TestIngestDoc(t *testing.T) {
	raced.Skip(t, "package ingest is watched with its own tests")
	text, err := os.ReadFile("../../docs/INGEST.md")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	script.WriteString("exec synshard ingest archives --out base\n")
	for to, out := range map[string]string{"hf": "hf", "webdataset": "wds", "folder": "exported"} {
		fmt.Fprintf(&script, "exec synshard export base --to %s --out %s\n", to, out)
	}
	found := map[string]bool{}
	table := strings.Join(regexp.MustCompile(`(?m)^\|.*$`).FindAllString(string(text), -1), "\n")
	for _, m := range regexp.MustCompile("`synshard ingest ([^`]*)`").FindAllStringSubmatch(table, -1) {
		line := m[1]
		want, ok := ingestDoc[line]
		if !ok {
			t.Errorf("docs/INGEST.md has %q, and this test does not", line)
			continue
		}
		found[line] = true
		script.WriteString("exec rm -rf imagenet imagenet21k v2 tiny mine\n")
		if want.before != "" {
			fmt.Fprintf(&script, "exec synshard ingest %s\n", want.before)
		}
		command, input, piped := strings.Cut(line, " < ")
		if piped {
			input = " < " + input
		}
		fmt.Fprintf(&script, "code %d sh -c 'synshard ingest %s --json%s'\n", want.code, command, input)
		for _, split := range slices.Sorted(maps.Keys(want.splits)) {
			fmt.Fprintf(&script, "stdout '\"%s\": %d\\b'\n", split, want.splits[split])
		}
		fmt.Fprintf(&script, "exec synshard verify %s\n", command[strings.LastIndex(command, " ")+1:])
	}
	for line := range ingestDoc {
		if !found[line] {
			t.Errorf("docs/INGEST.md does not have %q any more", line)
		}
	}
	file := filepath.Join(t.TempDir(), "ingest_doc.txtar")
	if err := os.WriteFile(file, []byte(script.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Files: []string{file},
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("SYNSHARD_PROGRESS", "off")
			passWordNet(e)
			return ingestFixtures(e.WorkDir)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"code": scriptCode},
	})
}

// ingestFixtures draws what the page speaks of.
func ingestFixtures(dir string) error {
	_, err := sample.Write(context.Background(), filepath.Join(dir, "archives"), sample.Options{TrainPerSynset: 3, ValPerSynset: 2, Test: 3, Seed: 1})
	if err != nil {
		return err
	}
	for _, name := range []string{sample.TrainTar, sample.ValTar, sample.TestTar, sample.Devkit} {
		if err := os.Link(filepath.Join(dir, "archives", name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	var images []string
	for k := range 12 {
		b, err := sample.Image(sample.Synsets()[k%8], "train", k, 5)
		if err != nil {
			return err
		}
		images = append(images, string(b))
	}
	const clsloc = "ILSVRC/Data/CLS-LOC/"
	kaggle := map[string]string{
		clsloc + "train/n01440764/n01440764_1.JPEG":   images[0],
		clsloc + "train/n01443537/n01443537_1.JPEG":   images[1],
		clsloc + "val/ILSVRC2012_val_00000001.JPEG":   images[2],
		clsloc + "test/ILSVRC2012_test_00000001.JPEG": images[3],
		"LOC_synset_mapping.txt":                      "n01440764 tench, Tinca tinca\nn01443537 goldfish\n",
		"LOC_train_solution.csv":                      "ImageId,PredictionString\nn01440764_1,n01440764 1 2 3 4 \n",
		"LOC_val_solution.csv":                        "ImageId,PredictionString\nILSVRC2012_val_00000001,n01443537 1 2 3 4 \n",
	}
	files := map[string]string{
		"classes.txt":                                     "dogs\ncats\n",
		"boxes/ILSVRC2012_val_00000003.xml":               "<annotation><object><name>n02391049</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>",
		"imagenetv2/0/a.jpeg":                             images[0],
		"imagenetv2/1/a.jpeg":                             images[1],
		"imagenetv2/999/a.jpeg":                           images[2],
		"tiny-imagenet-200/train/n01440764/images/0.JPEG": images[0],
		"tiny-imagenet-200/train/n01443537/images/0.JPEG": images[1],
		"tiny-imagenet-200/train/n01443537/n01443537.txt": "0.JPEG\t0\t0\t9\t9\n",
		"tiny-imagenet-200/val/images/val_0.JPEG":         images[2],
		"tiny-imagenet-200/val/val_annotations.txt":       "val_0.JPEG\tn01443537\t0\t32\t44\t62\n",
		"tiny-imagenet-200/test/images/test_0.JPEG":       images[3],
		"tiny-imagenet-200/wnids.txt":                     "n01443537\nn01440764\n",
		"pets/train/cats/1.jpg":                           images[0],
		"pets/train/cats/2.jpg":                           images[1],
		"pets/train/dogs/1.jpg":                           images[2],
		"pets/train/dogs/2.jpg":                           images[3],
		"pets/valid/cats/3.jpg":                           images[4],
		"pets/valid/dogs/3.jpg":                           images[5],
		"other/cats/1.jpg":                                images[6],
		"other/dogs/1.jpg":                                images[7],
		"nested/cats/tabby/1.jpg":                         images[0],
		"nested/cats/siamese/1.jpg":                       images[1],
		"nested/dogs/collie/1.jpg":                        images[2],
		"nested/dogs/poodle/1.jpg":                        images[3],
		"onehot.csv":                                      "filename,cats,dogs\npets/train/cats/1.jpg,1,0\npets/train/cats/2.jpg,1,0\npets/train/dogs/1.jpg,0,1\n",
		"flowers/photos/a1.jpg":                           images[0],
		"flowers/photos/b2.jpg":                           images[1],
		"flowers/labels.csv":                              "id,flower\na1,rose\nb2,tulip\n",
		"food-101/images/pie/1.jpg":                       images[0],
		"food-101/images/pie/2.jpg":                       images[1],
		"food-101/images/sushi/3.jpg":                     images[2],
		"food-101/images/sushi/4.jpg":                     images[3],
		"food-101/meta/train.txt":                         "pie/1\npie/2\nsushi/3\n",
		"food-101/meta/test.txt":                          "sushi/4\n",
		"parted/cats/train/1.jpg":                         images[0],
		"parted/cats/test/2.jpg":                          images[1],
		"parted/dogs/train/1.jpg":                         images[2],
		"parted/dogs/test/2.jpg":                          images[3],
		"imagefolder/train/1.jpg":                         images[0],
		"imagefolder/train/2.jpg":                         images[1],
		"imagefolder/train/metadata.csv":                  "file_name,label\n1.jpg,cats\n2.jpg,dogs\n",
	}
	table := "path,label\n"
	for k, b := range images {
		for _, class := range []string{"cats", "dogs"} {
			name := fmt.Sprintf("photos/%s/%d.jpg", class, k)
			files[name] = b
			table += name + "," + class + "\n"
		}
	}
	files["images.csv"] = table
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(content), 0o666)); err != nil {
			return err
		}
	}
	var zipped, packed bytes.Buffer
	z := zip.NewWriter(&zipped)
	for _, name := range slices.Sorted(maps.Keys(kaggle)) {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte(kaggle[name]))
		}
		if err != nil {
			return err
		}
	}
	train, err := os.ReadFile(filepath.Join(dir, sample.TrainTar))
	if err != nil {
		return err
	}
	g := gzip.NewWriter(&packed)
	_, err = g.Write(train)
	return errors.Join(err, z.Close(), g.Close(),
		os.WriteFile(filepath.Join(dir, "imagenet-object-localization-challenge.zip"), zipped.Bytes(), 0o666),
		os.WriteFile(filepath.Join(dir, "winter21_whole.tar.gz"), packed.Bytes(), 0o666))
}
