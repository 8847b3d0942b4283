package serve

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/web/explore"
	"github.com/synshard/synshard/web/look"
)

// Bounds of what images take: bytes of one that is shown or sent, and of all that are on
// their way. What decoding takes is bounded by package pixel.
const (
	mostShown   = 64 << 20
	mostSending = 256 << 20
	keptBuffer  = 4 << 20
)

// worker decodes one image at a time, in memory that is used again.
type worker struct {
	decoder *pixel.Decoder
	buf     []byte
}

// work makes something of an image's bytes, when a worker is free.
func (s *site) work(r *http.Request, im *explore.Image, f func(*pixel.Decoder, []byte) error) error {
	if im.Length > mostShown {
		return fmt.Errorf("its %d bytes are more than the %d MiB of an image that is shown", im.Length, mostShown>>20)
	}
	var w *worker
	select {
	case w = <-s.workers:
	case <-r.Context().Done():
		return r.Context().Err()
	}
	defer func() {
		if cap(w.buf) > keptBuffer {
			w.buf = nil
		}
		s.workers <- w
	}()
	if w.decoder == nil {
		w.decoder = pixel.NewDecoder()
	}
	b, err := s.e.Read(im, w.buf)
	if err != nil {
		return readError(err)
	}
	w.buf = b
	return f(w.decoder, b)
}

// shown is an image as its page shows it, and the size that it has itself.
type shown struct {
	width, height int
	jpeg          []byte
}

// keptViews is how many views are kept until the browser asks for them, so that an image is
// read and decoded once for its page and for itself; each has some 100 kB.
const keptViews = 32

// viewOf gives the view of an image.
func (s *site) viewOf(r *http.Request, im *explore.Image) (shown, error) {
	if v, ok := s.views.Get(im.SHA256); ok {
		return v, nil
	}
	var v shown
	err := s.work(r, im, func(d *pixel.Decoder, b []byte) error {
		info, err := pixel.Probe(b)
		if err != nil {
			return err
		}
		v.width, v.height = info.Width, info.Height
		v.jpeg, err = look.View(d, b)
		return err
	})
	if err == nil {
		s.views.Put(im.SHA256, v)
	}
	return v, err
}

// thumbnailOf makes the thumbnail of an image.
func (s *site) thumbnailOf(r *http.Request, im *explore.Image) (out []byte, err error) {
	err = s.work(r, im, func(d *pixel.Decoder, b []byte) (err error) {
		out, err = look.Thumbnail(d, b)
		return err
	})
	return out, err
}

// unread is an error that says nothing of the image: a store that does not answer, a disk
// that fails, a model that does not run.
type unread struct{ err error }

func (u *unread) Error() string { return u.err.Error() }
func (u *unread) Unwrap() error { return u.err }

// readError is an error of reading an image: its damage, where the dataset is not what was
// written, else an unread.
func readError(err error) error {
	if shard.Damage(err) {
		return err
	}
	return &unread{err}
}

// ofReading says that a request failed, and not the image: because nobody waits for it,
// because it could not be read, or because predictions are not there yet.
func ofReading(r *http.Request, err error) bool {
	var u *unread
	return left(r, err) || errors.As(err, &u) || errors.Is(err, awaited{})
}

// imageOf finds the image of an address.
func (s *site) imageOf(r *http.Request) (explore.Image, error) {
	row, err := strconv.Atoi(r.PathValue("row"))
	ref := explore.Ref{Split: r.PathValue("split"), Row: row}
	if err != nil || strconv.Itoa(row) != r.PathValue("row") || !s.e.Has(ref) {
		return explore.Image{}, &notFound{fmt.Sprintf("there is no image %q in a split %q", r.PathValue("row"), r.PathValue("split"))}
	}
	return s.e.Image(ref)
}

// made answers with a JPEG made of an image by what maker names, "" of all; with a drawing
// that says why where none can be.
func (s *site) made(maker string, make func(*http.Request, *explore.Image) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		im, err := s.imageOf(r)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		sealed(w)
		if unchanged(w, r, fmt.Sprintf(`"%x%s"`, im.SHA256, maker)) {
			return
		}
		out, err := make(r, &im)
		if missing := (*notFound)(nil); ofReading(r, err) || errors.As(err, &missing) {
			s.refuse(w, r, err)
			return
		}
		kind := "image/jpeg"
		if err != nil {
			kind, out = "image/svg+xml", placeholder(reason(err))
			w.Header().Del("ETag")
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(out)
	}
}

// refuse answers that there is no image, in plain text.
func (s *site) refuse(w http.ResponseWriter, r *http.Request, err error) {
	w.Header().Del("ETag")
	http.Error(w, ui.Text(err.Error()), s.refusal(r, err))
}

// sealed makes what is answered inert, whatever opens it: an image and nothing else.
func sealed(w http.ResponseWriter) {
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
}

// unchanged answers where the browser has the image already. It asks each time: the same
// address may be of another dataset tomorrow.
func unchanged(w http.ResponseWriter, r *http.Request, tag string) bool {
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") != tag {
		return false
	}
	w.WriteHeader(http.StatusNotModified)
	return true
}

// kinds are the content types of what is decoded. Other bytes are never shown.
var kinds = map[string]string{"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp", "BMP": "image/bmp"}

// original answers with an image's bytes as they are stored.
func (s *site) original(w http.ResponseWriter, r *http.Request) {
	im, err := s.imageOf(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	sealed(w)
	if im.Length > mostSending {
		http.Error(w, fmt.Sprintf("its %d bytes are more than the %d MiB that are sent", im.Length, mostSending>>20), http.StatusRequestEntityTooLarge)
		return
	}
	if err := s.sending.Acquire(r.Context(), im.Length); err != nil {
		s.refuse(w, r, err)
		return
	}
	defer s.sending.Release(im.Length)
	b, err := s.e.Read(&im, nil)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	kind := "application/octet-stream"
	if info, err := pixel.Probe(b); err == nil && kinds[info.Format] != "" {
		kind = kinds[info.Format]
	} else {
		w.Header().Set("Content-Disposition", "attachment")
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b)
}

// reason is why an image cannot be shown, in words for people.
func reason(err error) string { return ui.Text(err.Error()) }

// placeholder draws a reason in the place of an image.
func placeholder(why string) []byte {
	var b strings.Builder
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 144 144" width="144" height="144"><rect width="144" height="144" fill="#6b4a4a"/>` +
		`<text x="8" y="20" fill="#fff" font-family="system-ui, sans-serif" font-size="11" font-weight="bold">not shown</text>` +
		`<text fill="#fff" font-family="system-ui, sans-serif" font-size="9.5">`)
	line, y := "", 36
	put := func() {
		if line != "" && y < 140 {
			fmt.Fprintf(&b, `<tspan x="8" y="%d">%s</tspan>`, y, template.HTMLEscapeString(line))
			line, y = "", y+12
		}
	}
	for _, word := range strings.Fields(why) {
		for _, part := range pieces(word, 24) {
			if len([]rune(line))+len([]rune(part)) > 24 {
				put()
			}
			line += part + " "
		}
	}
	put()
	b.WriteString(`</text></svg>`)
	return []byte(b.String())
}

// pieces cuts a long word.
func pieces(word string, most int) (out []string) {
	runes := []rune(word)
	for len(runes) > most {
		out, runes = append(out, string(runes[:most])), runes[most:]
	}
	return append(out, string(runes))
}
