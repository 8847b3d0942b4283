package export

import (
	"encoding/json"
	"fmt"
	"io"
)

// croissantContext is the vocabulary of Croissant 1.0, as its specification (1.0,
// docs.mlcommons.org/croissant/docs/croissant-spec.html) gives it.
const croissantContext = `{
  "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column", "conformsTo": "dct:conformsTo",
  "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/", "data": {"@id": "cr:data", "@type": "@json"},
  "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "dct": "http://purl.org/dc/terms/", "equivalentProperty": "cr:equivalentProperty", "examples": {"@id": "cr:examples", "@type": "@json"},
  "extract": "cr:extract", "field": "cr:field", "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject", "fileSet": "cr:fileSet",
  "format": "cr:format", "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5",
  "parentField": "cr:parentField", "path": "cr:path", "recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex",
  "repeated": "cr:repeated", "replace": "cr:replace", "samplingRate": "cr:samplingRate", "sc": "https://schema.org/", "separator": "cr:separator", "source": "cr:source",
  "subField": "cr:subField", "transform": "cr:transform"
}`

// node is an object of JSON-LD.
type node map[string]any

// croissant writes Croissant's metadata (1.0): a file set and a record set a split, and the classes.
func (p *published) croissant(w io.Writer) error {
	doc := node{"@context": json.RawMessage(croissantContext), "@type": "sc:Dataset", "conformsTo": "http://mlcommons.org/croissant/1.0",
		"name": p.title, "description": fmt.Sprintf("%d images in %d classes", p.images(), len(p.classes))}
	var files, records []node
	if len(p.classes) > 0 {
		records = append(records, p.classRecords())
	}
	for _, s := range p.splits {
		files = append(files, node{"@type": "cr:FileSet", "@id": s.split + "-files", "name": s.split + "-files",
			"encodingFormat": "application/x-parquet", "includes": s.pattern()})
		records = append(records, p.rowRecords(&s))
	}
	doc["distribution"], doc["recordSet"] = files, records
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	return enc.Encode(doc)
}

// classRecords lists the classes: what labels mean.
func (p *published) classRecords() node {
	data := []node{}
	for i, c := range p.classes {
		data = append(data, node{"classes/label": i, "classes/synset": c.Synset})
	}
	return node{"@type": "cr:RecordSet", "@id": "classes", "name": "classes", "dataType": "sc:Enumeration", "key": node{"@id": "classes/label"},
		"field": []node{
			{"@type": "cr:Field", "@id": "classes/label", "name": "label", "dataType": "sc:Integer"},
			{"@type": "cr:Field", "@id": "classes/synset", "name": "synset", "dataType": "sc:Text"},
		}, "data": data}
}

// rowRecords are the rows of a split.
func (p *published) rowRecords(s *publishedSplit) node {
	field := func(name, kind, of string, extract node) node {
		return node{"@type": "cr:Field", "@id": s.split + "/" + name, "name": name, "description": of, "dataType": kind,
			"source": node{"fileSet": node{"@id": s.split + "-files"}, "extract": extract}}
	}
	image := field("image", "sc:ImageObject", "the image's bytes, as they were in the source", node{"column": "image"})
	image["source"].(node)["transform"] = node{"jsonPath": "bytes"}
	label := field("label", "sc:Integer", "the class, counted from 0", node{"column": "label"})
	if len(p.classes) > 0 {
		label["references"] = node{"field": node{"@id": "classes/label"}}
	}
	return node{"@type": "cr:RecordSet", "@id": s.split, "name": s.split, "description": fmt.Sprintf("%d images", s.images),
		"field": []node{image, label, field("synset", "sc:Text", "the class", node{"column": "synset"})}}
}
