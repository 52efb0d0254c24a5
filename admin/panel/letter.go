package panel

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"roost/admin"
	"roost/mailbox"
	"roost/mailbox/message"
)

const (
	// maxText is how much of a text part is shown, in bytes.
	maxText = 512 << 10
	// maxParts is how many parts of one message are shown or listed.
	maxParts = 200
)

// part is a MIME part with its number (RFC 9051 section 6.4.5.1).
type part struct {
	*message.Part
	Number string
}

// block is a part that is read in place.
type block struct {
	Number string
	HTML   bool
	Text   string
	Cut    bool // there is more of it
}

// file is a part to download.
type file struct {
	Number, Name, Type string
	Size               int64
}

type letterPage struct {
	Folder  mailbox.Folder
	UID     mailbox.UID
	Subject string
	From    string
	ReplyTo string
	To, Cc  string
	Date    time.Time // INTERNALDATE: when it came
	Said    string    // the Date field
	Size    int64
	Story   string

	Blocks  []block
	Both    bool // it can be read as text and formatted
	HTML    bool // it is shown formatted
	Files   []file
	More    bool   // parts that are not listed
	Header  string // as it is in the message, when it was asked for
	Older   mailbox.UID
	Newer   mailbox.UID
	Checked string
}

// open finds the message that a path names, in the visitor's own mailboxes.
func (v *visit) open() (*mailbox.Message, mailbox.Folder, error) {
	n, err := v.number("folder")
	if err != nil {
		return nil, mailbox.Folder{}, err
	}
	uid, err := v.number("uid")
	if err != nil {
		return nil, mailbox.Folder{}, err
	}
	f, err := v.store.Folder(v.account.ID, mailbox.FolderID(n))
	if err != nil {
		return nil, f, err
	}
	m, err := v.store.OpenMessage(v.account.ID, f.ID, mailbox.UID(uid))
	return m, f, err
}

// letter shows a message and, as that is reading it, marks it \Seen. It changes nothing
// else.
func letter(v *visit) error {
	m, f, err := v.open()
	if err != nil {
		return err
	}
	top, err := message.Parse(m.Reader())
	if err != nil {
		return err
	}
	h := top.Header
	page := letterPage{
		Folder: f, UID: m.UID, Date: m.Date, Size: m.Size,
		Subject: oneLine(h.Text("Subject")), From: fullNames(h.All("From")), ReplyTo: fullNames(h.All("Reply-To")),
		To: fullNames(h.All("To")), Cc: fullNames(h.All("Cc")), Said: oneLine(h.Get("Date")),
		Story: "/panel/trace/" + m.Body.String(), Checked: verdicts(m.Prefix),
	}
	if page.ReplyTo == page.From {
		page.ReplyTo = ""
	}
	if page.Subject == "" {
		page.Subject = "(no subject)"
	}
	query := v.r.URL.Query()
	r := reading{html: query.Get("as") == "html"}
	r.walk(top, nil, 0)
	page.Both, page.HTML, page.More = r.both, r.html, r.more
	for _, p := range r.shown {
		b := block{Number: p.Number, HTML: p.Subtype == "html"}
		if !b.HTML {
			if b.Text, b.Cut, err = text(p.Part, m); err != nil {
				return err
			}
		}
		page.Blocks = append(page.Blocks, b)
	}
	for _, p := range r.files {
		page.Files = append(page.Files, file{p.Number, fileName(p), p.Type + "/" + p.Subtype, p.Size()})
	}
	if query.Get("header") != "" {
		page.Header = strings.ToValidUTF8(string(h.Raw()[:min(len(h.Raw()), maxText)]), "\uFFFD")
	}
	if page.Older, page.Newer, err = v.neighbours(f, m.UID); err != nil {
		return err
	}
	if v.r.Method == http.MethodGet && !strings.Contains(v.r.Header.Get("Sec-Purpose"), "prefetch") {
		_, err := v.store.SetFlags(v.r.Context(), v.account.ID, f.ID, []mailbox.UID{m.UID}, mailbox.FlagUpdate{Change: mailbox.AddFlags, Flags: mailbox.Seen})
		if err != nil {
			v.log.Error("mark a message seen", "err", err) // it can be read all the same
		}
	}
	return v.show("letter", "mail", page.Subject, page)
}

func (v *visit) neighbours(f mailbox.Folder, uid mailbox.UID) (older, newer mailbox.UID, err error) {
	snap, err := v.store.Snapshot(v.account.ID, f.ID)
	if err != nil {
		return 0, 0, err
	}
	at := slices.IndexFunc(snap.Entries, func(e mailbox.Entry) bool { return e.UID == uid })
	if at > 0 {
		older = snap.Entries[at-1].UID
	}
	if at >= 0 && at+1 < len(snap.Entries) {
		newer = snap.Entries[at+1].UID
	}
	return older, newer, nil
}

// reading sorts the parts of a message into those read in place and those downloaded.
type reading struct {
	html  bool // wished for; after the walk, whether something is shown so
	both  bool
	shown []part
	files []part
	more  bool
}

func (r *reading) walk(p *message.Part, path []int, depth int) {
	switch {
	case len(r.shown)+len(r.files) >= maxParts || depth > 50:
		r.more = true
	case p.Multipart() && p.Subtype == "alternative":
		r.choose(p, path, depth)
	case p.Multipart():
		for i, c := range p.Children {
			r.walk(c, child(path, i), depth+1)
		}
	default:
		r.leaf(p, path)
	}
}

// child is the number of a multipart's part.
func child(path []int, i int) []int { return append(slices.Clone(path), i+1) }

// choose takes one of several forms of the same thing (RFC 2046 section 5.1.4): plain
// text, or what is formatted when that is wished for or all there is.
func (r *reading) choose(p *message.Part, path []int, depth int) {
	plain, rich := -1, -1
	for i, c := range p.Children {
		switch {
		case c.Type == "text" && c.Subtype == "plain":
			plain = i
		case c.Type == "text" && c.Subtype == "html" || c.Multipart():
			rich = i
		}
	}
	r.both = r.both || plain >= 0 && rich >= 0
	take := plain
	if take < 0 || r.html && rich >= 0 {
		take = rich
	}
	for i, c := range p.Children {
		switch {
		case i == take:
			r.walk(c, child(path, i), depth+1)
		case i == plain || i == rich:
			// Some put what they attach beside one of the forms.
			other := reading{html: r.html}
			other.walk(c, child(path, i), depth+1)
			r.files = append(r.files, other.files...)
		default:
			r.leaf(c, child(path, i)) // an invitation, most often
		}
	}
}

// leaf takes a part that has no parts. The body of a message that is one part is its
// part 1.
func (r *reading) leaf(p *message.Part, path []int) {
	if len(path) == 0 {
		path = []int{1}
	}
	var number []string
	for _, n := range path {
		number = append(number, strconv.Itoa(n))
	}
	at := part{p, strings.Join(number, ".")}
	inline := p.Type == "text" && (p.Subtype == "plain" || p.Subtype == "html") && p.Disposition != "attachment" && p.Filename() == ""
	if !inline {
		r.files = append(r.files, at)
		return
	}
	if p.Size() > 0 {
		r.shown = append(r.shown, at)
		r.html = r.html || p.Subtype == "html"
	}
}

// text is a text part in UTF-8, up to maxText.
func text(p *message.Part, m *mailbox.Message) (s string, cut bool, err error) {
	b, err := io.ReadAll(io.LimitReader(p.Text(m), maxText+1))
	if err != nil {
		return "", false, err
	}
	if cut = len(b) > maxText; cut {
		b = b[:maxText]
	}
	s = strings.ToValidUTF8(strings.ReplaceAll(string(b), "\r\n", "\n"), "\uFFFD")
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s), cut, nil
}

// fileName is what an attachment is called when it is stored: the sender's name for it,
// without what a file system or a person could take for something else.
func fileName(p part) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune(`/\:*?"<>|`, r):
			return '_'
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, p.Filename())
	name = strings.TrimLeft(strings.TrimSpace(name), ".")
	if runes := []rune(name); len(runes) > 120 {
		name = string(runes[:60]) + "…" + string(runes[len(runes)-59:])
	}
	if name != "" {
		return name
	}
	switch {
	case p.Message != nil:
		return "message-" + p.Number + ".eml"
	case p.Type == "text" && p.Subtype == "calendar":
		return "invitation.ics"
	case p.Type == "text":
		return "part-" + p.Number + ".txt"
	}
	return "part-" + p.Number + ".bin"
}

// section finds the part that a path names, and the message that it is in.
func (v *visit) section() (*mailbox.Message, part, error) {
	m, _, err := v.open()
	if err != nil {
		return nil, part{}, err
	}
	top, err := message.Parse(m.Reader())
	if err != nil {
		return nil, part{}, err
	}
	name := v.r.PathValue("part")
	missing := refusal(admin.NotFound, "the message has no part "+strconv.Quote(name))
	var path []int
	for _, digits := range strings.Split(name, ".") {
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 || len(path) > 100 {
			return nil, part{}, missing
		}
		path = append(path, n)
	}
	p := top.Section(path...)
	if p == nil {
		return nil, part{}, missing
	}
	return m, part{p, name}, nil
}

// download begins an answer that a browser stores and does not show. Size is in bytes, or
// below 0 when it is not known.
func download(w http.ResponseWriter, name string, size int64) {
	h := w.Header()
	// What a browser would make of any other type is none of the sender's business.
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	if size >= 0 {
		h.Set("Content-Length", strconv.FormatInt(size, 10))
	}
}

// attachment downloads one part, decoded.
func attachment(v *visit) error {
	m, p, err := v.section()
	if err != nil {
		return err
	}
	r, err := p.Decode(m)
	if err != nil {
		r = p.Raw(m)
	}
	download(v.w, fileName(p), -1)
	_, err = io.Copy(v.w, r)
	return v.broken(err)
}

// raw downloads the whole message.
func raw(v *visit) error {
	m, _, err := v.open()
	if err != nil {
		return err
	}
	download(v.w, fmt.Sprintf("message-%s.eml", m.Body), m.Size)
	_, err = io.Copy(v.w, m.Reader())
	return v.broken(err)
}

// broken ends an answer in whose middle something failed: half a file must not look whole.
func (v *visit) broken(err error) error {
	if err != nil {
		v.log.Info("download broken off", "path", v.r.URL.Path, "err", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}
