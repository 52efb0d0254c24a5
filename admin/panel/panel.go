// Package panel is the office's window: what can be asked of it in a terminal, on pages for
// a browser. Its forms are made from the list of operations, its answers are theirs, and
// an operation that fails says the same words here as there. Beside them it shows what
// is only for looking at: the overview, the journal, and one's own mail.
//
// It works without JavaScript; the one script adds comfort. It refuses to send a password
// over a wire in the clear, to show anybody another person's mail, and to let mail
// fetch, run or pretend anything. A backup has everybody's mail, and is for administrators
// to keep.
package panel

import (
	"bytes"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"

	"roost/admin"
	"roost/mailbox"
)

//go:embed pages
var pages embed.FS

// maxForm is the largest form that is read, in bytes.
const maxForm = 64 << 10

type panel struct {
	office  *admin.Office
	store   *mailbox.Store
	log     *slog.Logger
	pages   *template.Template
	cards   mailbox.Corner // when each session was last used, and each account's last test
	notices notices
}

// New makes the panel of an office, to be served below admin.PanelPath beside the public
// pages, whose style sheet it uses.
func New(o *admin.Office) http.Handler {
	p := &panel{office: o, store: o.Store, log: o.Log, cards: o.Store.Corner("panel")}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.pages = template.Must(template.New("").Funcs(words()).ParseFS(pages, "pages/*.html"))

	mux := http.NewServeMux()
	at := func(pattern string, h http.HandlerFunc) { mux.HandleFunc(pattern, h) }
	at("GET /panel/sign-in", p.signIn)
	at("POST /panel/sign-in", p.signIn)
	at("GET "+admin.EnterPath, p.enter)
	at("GET /panel/panel.js", p.script)
	at("POST /panel/sign-out", p.signedIn(signOut))

	at("/panel/{$}", p.signedIn(overview))
	at("/panel/trace", p.signedIn(trace))
	at("/panel/trace/{id}", p.signedIn(story))
	at("/panel/people", p.signedIn(people))
	at("/panel/people/{address}", p.signedIn(person))
	at("/panel/domains", p.signedIn(domains))
	at("/panel/domains/{domain}", p.signedIn(domain))
	at("GET /panel/domains/{domain}/zone", p.signedIn(zone))
	at("/panel/settings", p.signedIn(settings))
	at("POST /panel/settings/check", p.signedIn(check))
	at("POST /panel/settings/backup", p.signedIn(backup))
	at("GET /panel/mail", p.signedIn(inbox))
	at("GET /panel/mail/{folder}", p.signedIn(folder))
	at("GET /panel/mail/{folder}/{uid}", p.signedIn(letter))
	at("GET /panel/mail/{folder}/{uid}/raw", p.signedIn(raw))
	at("GET /panel/mail/{folder}/{uid}/part/{part}", p.signedIn(attachment))
	at("GET /panel/mail/{folder}/{uid}/html/{part}", p.signedIn(letterHTML))
	at("/panel/", p.signedIn(func(v *visit) error {
		return refusal(admin.NotFound, "there is no page "+v.r.URL.Path)
	}))
	return p.believe(p.encrypted(decent(http.NewCrossOriginProtection().Handler(mux))))
}

// decent sets what every answer of the panel carries. A page that shows mail tightens it.
func decent(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		next.ServeHTTP(w, r)
	})
}

func (p *panel) script(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=300")
	sub, err := fs.Sub(pages, "pages")
	if err != nil {
		http.NotFound(w, r)
		return
	}
	http.ServeFileFS(w, r, sub, "panel.js")
}

// frame is what every page has around its own matter.
type frame struct {
	Title   string
	Place   string // which of the places in the navigation
	Account string // who is signed in; empty: nobody
	Admin   bool
	Host    string
	Version string
	Live    bool // shows something that is about to change
	Notice  *notice
	Problem string
	Data    any
}

// render writes a page whole, or not at all.
func (p *panel) render(w http.ResponseWriter, status int, name string, f frame) {
	f.Host, f.Version = p.office.Hostname(), admin.Version()
	var b bytes.Buffer
	if err := p.pages.ExecuteTemplate(&b, name, f); err != nil {
		p.log.Error("page", "name", name, "err", err)
		http.Error(w, "This page could not be made; the server's log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w)
}

// visit is one request of a person who has signed in.
type visit struct {
	*panel
	w       http.ResponseWriter
	r       *http.Request
	account mailbox.Account
	caller  admin.Caller
	session string // what its notices are kept under

	// After an operation that failed:
	problem *admin.Error
	given   url.Values // what it was asked with
}

func refusal(kind admin.Kind, message string) error {
	return &admin.Error{Kind: kind, Message: message}
}

// signedIn lets only people in who have signed in, and shows the error of a page that
// failed.
func (p *panel) signedIn(h func(*visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := p.visitor(w, r)
		if errors.Is(err, mailbox.ErrNotFound) {
			next := ""
			if r.Method == http.MethodGet && r.URL.Path != admin.PanelPath {
				next = "?next=" + url.QueryEscape(r.URL.RequestURI())
			}
			http.Redirect(w, r, "/panel/sign-in"+next, http.StatusSeeOther)
			return
		}
		if err == nil {
			err = h(v)
		}
		if err == nil {
			return
		}
		e := admin.Explain(err)
		if e.Kind == admin.Failed || e.Kind == admin.Damaged {
			p.log.Error("panel", "path", r.URL.Path, "err", err)
		}
		f := frame{Title: "That did not work", Problem: e.Message}
		if v != nil {
			f.Account, f.Admin = string(v.account.Address), v.account.Admin
		}
		p.render(w, e.Kind.Status(), "trouble", f)
	}
}

// show writes a page of the visit.
func (v *visit) show(name, place, title string, data any) error {
	v.showLive(name, place, title, false, data)
	return nil
}

// showLive shows a page that asks for itself again as long as live holds.
func (v *visit) showLive(name, place, title string, live bool, data any) {
	status := http.StatusOK
	f := v.frame(place, title, data)
	f.Live = live
	if v.problem != nil {
		status = v.problem.Kind.Status()
	}
	v.render(v.w, status, name, f)
}

func (v *visit) frame(place, title string, data any) frame {
	f := frame{
		Title: title, Place: place, Account: string(v.account.Address), Admin: v.account.Admin,
		Host: v.office.Hostname(), Version: admin.Version(), Data: data,
	}
	if v.problem != nil {
		f.Problem = v.problem.Message
	} else if v.r.Method == http.MethodGet {
		f.Notice = v.notices.take(v.session)
	}
	return f
}

// do carries out an operation whose arguments are given by their names in the API.
func (v *visit) do(name string, given url.Values) (any, error) {
	op, err := admin.Find(name)
	if err != nil {
		return nil, err
	}
	args := op.NewArgs()
	if err := fill(args, given); err != nil {
		return nil, err
	}
	return v.office.Do(v.r.Context(), v.caller, op, args)
}

// ask is do for a result of a known type.
func ask[R any](v *visit, name string, pairs ...string) (R, error) {
	given := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		given.Add(pairs[i], pairs[i+1])
	}
	result, err := v.do(name, given)
	r, _ := result.(R)
	return r, err
}
