package utf8name

import (
	"crypto/sha256"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Longest is the most bytes of a name that FileName gives. Every file system
// takes as many, with room for a number.
const Longest = 240

// FileName gives the name that a file or a directory has on every system in the
// place of one that it cannot have on some: a name that is fit stays as it is.
// What is unfit, with its value as %HH: control characters, < > : " / \ | ? *,
// a dot or a hyphen at the beginning, a dot or a space at the end, and the first
// byte of a name of Windows' devices (con, nul.txt, COM1) and of what LeftBehind
// knows. Of a name longer than
// Longest the beginning, a digest and the extension stay; "" becomes "_". Different
// names can become one, and which it was is not in it: whoever writes files keeps
// that. Bytes that are not UTF-8 stay.
func FileName(raw string) string {
	var out strings.Builder
	taken := isDevice(raw) || LeftBehind(raw)
	for i := 0; i < len(raw); {
		r, n := utf8.DecodeRuneInString(raw[i:])
		first, last := i == 0, i+n == len(raw)
		if unicode.IsControl(r) || strings.ContainsRune(`<>:"/\|?*`, r) || first && (taken || r == '.' || r == '-') || last && (r == '.' || r == ' ') {
			for _, b := range []byte(raw[i : i+n]) {
				fmt.Fprintf(&out, "%%%02X", b)
			}
		} else {
			out.WriteString(raw[i : i+n])
		}
		i += n
	}
	return shorten(out.String(), raw)
}

// shorten cuts a name that is too long; raw is what it stands for.
func shorten(name, raw string) string {
	switch {
	case name == "":
		return "_"
	case len(name) <= Longest:
		return name
	}
	ext := path.Ext(name)
	if len(ext) > 16 {
		ext = ""
	}
	cut := 150
	for cut > 146 && !utf8.RuneStart(name[cut]) {
		cut--
	}
	return fmt.Sprintf("%s-%.6x%s", name[:cut], sha256.Sum256([]byte(raw)), ext)
}

// LeftBehind says whether a name is one by which operating systems and file servers
// leave something of their own in directories, so that whoever reads these passes over
// it. Those that begin with a dot are not among them.
func LeftBehind(name string) bool {
	switch strings.ToLower(name) {
	case "__macosx", "icon\r", // macOS
		"thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information", // Windows
		"@eadir", "#recycle", // Synology
		"lost+found":
		return true
	}
	return false
}

// isDevice knows the names that are devices on Windows, whatever follows a dot.
func isDevice(name string) bool {
	stem, _, _ := strings.Cut(strings.ToUpper(name), ".")
	switch stem = strings.TrimRight(stem, " "); stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	digit, ok := strings.CutPrefix(stem, "COM")
	if !ok {
		digit, ok = strings.CutPrefix(stem, "LPT")
	}
	return ok && utf8.RuneCountInString(digit) == 1 && strings.Contains("0123456789¹²³", digit)
}
