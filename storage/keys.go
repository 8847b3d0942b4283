package storage

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"gocloud.dev/blob"
)

// gocloud.dev has control characters in keys, ../ and what looks like something escaped written in
// another way (__0x9__), and takes what it lists for that. What others put into a bucket of S3 has
// whatever key it has, and is asked for by that.

// byKey makes a request to read one of the object of this very key.
func byKey(as func(any) bool, key string) error {
	var get *s3.GetObjectInput
	if as(&get) {
		get.Key = &key
	}
	return nil
}

// below is byKey for a list.
func below(as func(any) bool, prefix string) error {
	var list *s3.ListObjectsV2Input
	var old *s3.ListObjectsInput // where the URL says that the server has no other
	switch {
	case prefix == "":
	case as(&list):
		list.Prefix = &prefix
	case as(&old):
		old.Prefix = &prefix
	}
	return nil
}

// listedKey is the key of an object as its list has it, or what several begin with.
func listedKey(o *blob.ListObject) string {
	var s types.Object
	var prefix types.CommonPrefix
	switch {
	case o.As(&s):
		return aws.ToString(s.Key)
	case o.As(&prefix):
		return aws.ToString(prefix.Prefix)
	}
	return o.Key
}

// copied is byKey for a copy of an object, from being its bucket and key.
func copied(as func(any) bool, key, from string) error {
	var c *s3.CopyObjectInput
	if as(&c) {
		c.Key, c.CopySource = &key, aws.String(url.QueryEscape(from))
	}
	return nil
}

// legible says that a key can stand in the XML of a request.
func legible(key string) bool {
	return utf8.ValidString(key) && !strings.ContainsFunc(key, func(c rune) bool { return c < ' ' })
}
