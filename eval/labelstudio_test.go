package eval

import "testing"

func TestImageURL(t *testing.T) {
	for _, c := range []struct{ template, path, want string }{
		{"/data/?d={synset}/{path}", "a b/c&d.jpg", "/data/?d=n01/a+b/c%26d.jpg"},
		{"{path}", "s3://bucket/a%20b.jpg", "s3://bucket/a%20b.jpg"},
		{"{path}?v=1", "s3://bucket/a%20b.jpg", "s3://bucket/a%20b.jpg?v=1"},
		{"https://h/{path}", "s3://bucket/a.jpg", "https://h/s3%3A//bucket/a.jpg"},
		{"{path}", "a b.jpg", "a+b.jpg"},
	} {
		o := LabelStudio{ImageURL: c.template}
		if got := o.imageURL(c.path, "n01"); got != c.want {
			t.Errorf("%s of %s: %s, want %s", c.template, c.path, got, c.want)
		}
	}
}
