package admin

import (
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"

	"roost/mailbox"
)

// setupPath is where the setup page lies on the https listener.
const setupPath = "/setup"

// setupPage is the operation "setup" as a web form, for whoever has the link that the
// first start prints.
type setupPage struct {
	office *Office
	page   *template.Template
	one    sync.Mutex // of all who show the link at once, one gets in
}

// setupView is what the page shows: the form, or how it went.
type setupView struct {
	Token               string
	Domain, Host, Admin string
	Error               string
	Next                string // what to do after success
	Panel               string
}

// SetupPage answers /setup, which makes the domain, the name of the server and the first
// administrator. Whoever comes needs the secret of SetupLink, over TLS; once there is an
// administrator, it opens nothing.
func (o *Office) SetupPage() http.Handler {
	p := &setupPage{office: o, page: template.Must(template.ParseFS(ui, "ui/setup.html"))}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+setupPath, p.show)
	mux.HandleFunc("POST "+setupPath, p.submit)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		// The link's secret is in the address.
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

func (p *setupPage) show(w http.ResponseWriter, r *http.Request) {
	token := r.URL.Query().Get("token")
	if err := p.admit(r, token); err != nil {
		p.render(w, Explain(err).Kind.Status(), setupView{Error: Explain(err).Message})
		return
	}
	name, _ := os.Hostname()
	v := setupView{Token: token, Domain: domainOf(name)}
	if v.Domain != "" {
		v.Host = hostFor(v.Domain, name)
	}
	p.render(w, http.StatusOK, v)
}

func (p *setupPage) submit(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	form := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	v := setupView{Token: form("token"), Domain: form("domain"), Host: form("host"), Admin: form("admin")}
	p.one.Lock()
	defer p.one.Unlock()
	if err := p.admit(r, v.Token); err != nil {
		p.render(w, Explain(err).Kind.Status(), setupView{Error: Explain(err).Message})
		return
	}
	done, err := p.setUp(r, v)
	if err != nil {
		v.Error = Explain(err).Message
		p.render(w, Explain(err).Kind.Status(), v)
		return
	}
	var next strings.Builder
	_ = done.Text(&next, nil) // a Builder takes everything
	p.render(w, http.StatusOK, setupView{Next: next.String(), Panel: PanelPath})
}

// admit is an error unless the request may set up: over TLS, with a secret that is good,
// and before there is an administrator.
func (p *setupPage) admit(r *http.Request, token string) error {
	if r.TLS == nil {
		return errorf(Forbidden, "the setup page is for https only: what is typed here would be read on the way")
	}
	has, err := p.office.hasAdministrator()
	if err != nil {
		return err
	}
	if has {
		return errorf(NotFound, "this server is set up already")
	}
	_, err = p.office.Store.Token(mailbox.TokenSetup, token)
	if errors.Is(err, mailbox.ErrNotFound) {
		return errorf(NotFound, "this link is not valid any more: restart Roost for a new one, or run roost setup in a terminal")
	}
	return err
}

func (p *setupPage) setUp(r *http.Request, v setupView) (SetUp, error) {
	password := r.PostFormValue("password")
	if password != r.PostFormValue("again") {
		return SetUp{}, errorf(Invalid, "the two passwords differ")
	}
	op, err := Find("setup")
	if err != nil {
		return SetUp{}, err
	}
	args := &setupArgs{Domain: v.Domain, Host: v.Host, Admin: v.Admin, Password: Secret(password)}
	result, err := p.office.Do(r.Context(), Caller{Owner: true}, op, args)
	if err != nil {
		return SetUp{}, err
	}
	return result.(SetUp), nil
}

func (p *setupPage) render(w http.ResponseWriter, status int, v setupView) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := p.page.Execute(w, v); err != nil {
		log := p.office.Log
		if log == nil {
			log = slog.New(slog.DiscardHandler)
		}
		log.Debug("setup page", "err", err)
	}
}
