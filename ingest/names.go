package ingest

import "github.com/synshard/synshard/internal/utf8name"

// validName is a name as shards have it.
func validName(s string) string { return utf8name.Ensure(s) }
