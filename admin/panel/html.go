package panel

import (
	"io"
	"net/http"
	"regexp"
	"slices"

	"github.com/microcosm-cc/bluemonday"
)

// maxHTML is how much of an HTML part is shown, in bytes.
const maxHTML = 2 << 20

// sanitiser lets through what carries text and its structure. Nothing in it fetches,
// runs, submits, styles or points anywhere but a link that a person clicks; an image
// leaves the words that stand in for it.
func sanitiser() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements(
		"p", "br", "hr", "div", "span", "center", "blockquote", "pre", "h1", "h2", "h3", "h4", "h5", "h6",
		"ul", "ol", "li", "dl", "dt", "dd", "b", "strong", "i", "em", "u", "s", "del", "ins", "small", "sub", "sup",
		"code", "kbd", "samp", "tt", "cite", "q", "abbr", "mark", "address",
		"table", "caption", "thead", "tbody", "tfoot", "tr",
	)
	p.AllowNoAttrs().OnElements("td", "th")
	p.AllowAttrs("colspan", "rowspan").Matching(bluemonday.Integer).OnElements("td", "th")
	p.AllowAttrs("alt").OnElements("img")
	p.AllowAttrs("dir").Matching(bluemonday.Direction).Globally()
	p.AllowAttrs("href").OnElements("a")
	p.SkipElementsContent("title")
	p.AllowURLSchemes("http", "https", "mailto")
	p.RequireParseableURLs(true)
	p.AllowRelativeURLs(false)
	p.RequireNoFollowOnLinks(true)
	p.RequireNoReferrerOnLinks(true)
	p.AddTargetBlankToFullyQualifiedLinks(true)
	return p
}

// What the sanitiser leaves of an image. The words are escaped for an attribute, which is
// more than text needs.
var (
	image      = regexp.MustCompile(`<img\b[^>]*>`)
	imageWords = regexp.MustCompile(` alt="([^"]+)"`)
)

// inWords puts the words of an image in its place.
func inWords(img []byte) []byte {
	words := imageWords.FindSubmatch(img)
	if words == nil {
		return nil
	}
	return slices.Concat([]byte("<i>["), words[1], []byte("]</i>"))
}

// letterHTML is one HTML part, made harmless, for the frame in a message's page. Should
// anything be left in it, the sandbox has no scripts, no forms, no origin, and the
// policy no network.
func letterHTML(v *visit) error {
	m, p, err := v.section()
	if err != nil {
		return err
	}
	if p.Type != "text" || p.Subtype != "html" {
		http.NotFound(v.w, v.r)
		return nil
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox")
	// The frame has no origin, so to the browser its style sheet is somebody else's.
	h.Set("Referrer-Policy", "no-referrer")
	if err := v.pages.ExecuteTemplate(v.w, "letter-html-begin", nil); err != nil {
		return v.broken(err)
	}
	clean := sanitiser().SanitizeReader(io.LimitReader(p.Text(m), maxHTML)).Bytes()
	if _, err := v.w.Write(image.ReplaceAllFunc(clean, inWords)); err != nil {
		return v.broken(err)
	}
	return v.broken(v.pages.ExecuteTemplate(v.w, "letter-html-end", nil))
}
