package prediction

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/synshard/synshard/model"
)

// formatVersion is that of the format, which the files say.
const formatVersion = "1"

// Keys of the metadata, as FORMAT.md has them. All of ours begin with keyPrefix.
const (
	keyPrefix      = "synshard."
	keyVersion     = keyPrefix + "predictions"
	KeyFingerprint = keyPrefix + "fingerprint" // of the identity: the five below
	KeyModel       = keyPrefix + "model"
	KeySpec        = keyPrefix + "spec"
	KeyBackend     = keyPrefix + "backend"
	KeyInput       = keyPrefix + "input"
	KeyOptions     = keyPrefix + "options"
	KeyNote        = keyPrefix + "note." // and a note's name
	keyBatchRows   = keyPrefix + "batch_rows"
	KeyJob         = keyPrefix + "job"    // i/n
	keyRows        = keyPrefix + "rows"   // from-to, of a chunk
	KeyFailed      = keyPrefix + "failed" // rows with an error
	keyColumnSum   = keyPrefix + "sum."   // and a column's name
	keySum         = keyPrefix + "sum"    // of all other keys of ours
)

// Identity is what decides predictions: files of one identity hold the same
// rows, or, with a Job, the same rows' shares.
type Identity struct {
	Model   string            // the network, by the content of every file it consists of
	Spec    model.Spec        // how images are made ready, and the classes
	Backend string            // what runs the network
	Input   string            // the images
	Options map[string]string // what else changes a byte of the rows, by name
}

// Header is what a file says of itself before its rows are known.
type Header struct {
	Identity
	Job       Job               // the share of the rows that the file holds
	Notes     map[string]string // for people, by name: they identify nothing
	BatchRows int               // rows of a record batch, at least 1
}

// Fingerprint is the sha256 of the identity, in hex.
func (id *Identity) Fingerprint() string { return id.metadata()[KeyFingerprint] }

func (id *Identity) metadata() metadata {
	options, err := json.Marshal(id.Options)
	if err != nil {
		panic(err) // strings
	}
	md := metadata{KeyModel: id.Model, KeySpec: id.Spec.JSON(), KeyBackend: id.Backend, KeyInput: id.Input, KeyOptions: string(options)}
	md[KeyFingerprint] = md.sum()
	return md
}

func (h *Header) metadata() metadata {
	md := h.Identity.metadata()
	md[keyVersion], md[keyBatchRows] = formatVersion, strconv.Itoa(h.BatchRows)
	for name, text := range h.Notes {
		md[KeyNote+name] = text
	}
	if !h.Job.all() {
		md[KeyJob] = h.Job.String()
	}
	return md
}

// metadata is key-value pairs: those of a schema, a Parquet file or a sidecar.
type metadata map[string]string

// sum is the sha256 over the keys of ours but keySum, each followed by its value, in
// the order of their bytes, all ended by a zero byte.
func (md metadata) sum() string {
	h := sha256.New()
	for _, k := range slices.Sorted(maps.Keys(md)) {
		if strings.HasPrefix(k, keyPrefix) && k != keySum {
			fmt.Fprintf(h, "%s\x00%s\x00", k, md[k])
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// sealed is a copy with more keys, and with the sum of all.
func (md metadata) sealed(more metadata) metadata {
	out := maps.Clone(md)
	maps.Copy(out, more)
	out[keySum] = out.sum()
	return out
}

// check refuses metadata that are damaged, or of a later version. Those of a
// table that another program made may lack all of ours.
func (md metadata) check() error {
	version, versioned := md[keyVersion]
	sum, summed := md[keySum]
	if !versioned && !summed {
		return nil
	}
	if sum != md.sum() {
		return formatf("its metadata are not what their sum says: it is damaged, or was changed by hand")
	}
	if version != formatVersion {
		return fmt.Errorf("predictions of format version %q, which this synshard does not know (it writes %s)", version, formatVersion)
	}
	return nil
}

// arrow is the metadata of a schema, in the order of the keys.
func (md metadata) arrow() arrow.Metadata { return arrow.MetadataFrom(md) }

// job is the job that a file is of.
func (md metadata) job() (j Job, err error) {
	text, ok := md[KeyJob]
	if !ok {
		return j, nil
	}
	i, n, _ := strings.Cut(text, "/")
	j.Index, err = strconv.Atoi(i)
	if err == nil {
		j.Count, err = strconv.Atoi(n)
	}
	if err == nil {
		err = j.Check()
	}
	if err != nil {
		return j, formatf("%s %q: %w", KeyJob, text, err)
	}
	return j, nil
}

// number is a number that must be there.
func (md metadata) number(key string) (int, error) {
	n, err := strconv.Atoi(md[key])
	if err != nil || n < 0 {
		return 0, formatf("%s is %q, which is not a number", key, md[key])
	}
	return n, nil
}

// differences names, for people, what differs between two identities.
func differences(have, want metadata) string {
	var out []string
	for _, k := range []string{KeyModel, KeyInput, KeyBackend} {
		if have[k] != want[k] {
			out = append(out, other(strings.TrimPrefix(k, keyPrefix), have[k], want[k]))
		}
	}
	for _, k := range []string{KeySpec, KeyOptions} {
		if have[k] == want[k] {
			continue
		}
		var a, b map[string]json.RawMessage
		if json.Unmarshal([]byte(have[k]), &a) != nil || json.Unmarshal([]byte(want[k]), &b) != nil {
			out = append(out, strings.TrimPrefix(k, keyPrefix)+" is another")
			continue
		}
		names := maps.Clone(a)
		maps.Copy(names, b)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if x, y := strings.Trim(string(a[name]), `"`), strings.Trim(string(b[name]), `"`); x != y {
				out = append(out, other(name, x, y))
			}
		}
	}
	if have[KeyJob] != want[KeyJob] {
		out = append(out, other("job", have[KeyJob], want[KeyJob]))
	}
	if len(out) == 0 {
		return "nothing that it says"
	}
	return strings.Join(out, "; ")
}

// other says that a value is not the one that is wanted, both from where they differ on, as a line
// of an error has them.
func other(name, have, want string) string {
	same := 0
	for same < min(len(have), len(want)) && have[same] == want[same] {
		same++
	}
	if same = strings.LastIndexAny(have[:same], " ,;") + 1; same < 40-len("...") {
		same = 0
	}
	return fmt.Sprintf("%s is %s, not %s", name, short(have, same), short(want, same))
}

// short is a value from a place on, as a line of an error has it.
func short(s string, from int) string {
	if s == "" {
		return "none"
	}
	head := ""
	if from > 0 {
		head = "..."
	}
	if s = s[from:]; len(s) > 40 {
		s = strings.ToValidUTF8(s[:36], "") + "..."
	}
	return head + s
}
