package serve

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// NewToken makes a token that nobody guesses: 128 random bits.
func NewToken() string {
	b := make([]byte, 16)
	rand.Read(b) // never fails: it ends the process instead
	return base64.RawURLEncoding.EncodeToString(b)
}

// guard keeps out whoever is not to look: other methods than GET and HEAD, names that
// lead here by DNS rebinding, and who has no token where one is needed.
type guard struct {
	token string // "": everybody may look
	hosts []string
	next  http.Handler
}

// What every answer says: nothing but this server's own files is loaded, nobody frames a
// page or embeds an image, types are what they are called, and no address is told on.
var always = map[string]string{
	"Content-Security-Policy":      "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cache-Control":                "private, no-cache",
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for k, v := range always {
		w.Header().Set(k, v)
	}
	switch {
	case !g.knows(r.Host):
		http.Error(w, fmt.Sprintf("this server is not called %q; --host lets a name in", r.Host), http.StatusMisdirectedRequest)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "pages are read only: GET and HEAD", http.StatusMethodNotAllowed)
	case g.token != "" && same(r.URL.Query().Get("token"), g.token):
		g.admit(w, r) // though the cookie is there: an address is shown and sent on
	case g.token == "" || g.cookie(r):
		g.next.ServeHTTP(w, r)
	default:
		http.Error(w, "a token is needed: open the address that synshard serve printed", http.StatusForbidden)
	}
}

// knows says whether the name by which somebody came here is one of ours. A number cannot
// be rebound, and localhost is not asked of any name server.
func (g *guard) knows(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(g.hosts, host)
}

// cookieName differs from server to server, since cookies do not tell ports apart.
func (g *guard) cookieName() string {
	sum := sha256.Sum256([]byte(g.token))
	return fmt.Sprintf("synshard-%x", sum[:4])
}

func (g *guard) cookie(r *http.Request) bool {
	c, err := r.Cookie(g.cookieName())
	return err == nil && same(c.Value, g.token)
}

// same compares in a time that tells nothing.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// admit gives the cookie, and leads on to the address without the token. The cookie is Lax:
// a Strict one is not sent when the address was opened from another site, as mail in a
// browser is, and nothing that is asked for here changes anything.
func (g *guard) admit(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: g.cookieName(), Value: g.token, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	q := r.URL.Query()
	q.Del("token")
	to := url.URL{Path: "/" + strings.TrimLeft(r.URL.Path, `/\`), RawQuery: q.Encode()} // never another host's
	w.Header().Set("Location", to.String())
	w.WriteHeader(http.StatusSeeOther)
}
