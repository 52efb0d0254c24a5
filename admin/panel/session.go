package panel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"roost/admin"
	"roost/mailbox"
)

const (
	sessionGood = 7 * 24 * time.Hour
	sessionIdle = 12 * time.Hour
	// sessionTouch is how exactly it is known when a session was last used: a write for
	// every page would be too much for it.
	sessionTouch = 15 * time.Minute
)

// cookieName is that of the session's cookie. The prefix has the browser see to it that
// only this host, over TLS, can have set it (RFC 6265bis section 4.1.3.2).
func cookieName(r *http.Request) string {
	if overTLS(r) {
		return "__Host-roost"
	}
	return "roost"
}

func setCookie(w http.ResponseWriter, r *http.Request, value string, age time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: value, Path: "/", MaxAge: int(age.Seconds()),
		HttpOnly: true, Secure: overTLS(r), SameSite: http.SameSiteLaxMode,
	})
}

// card is where a session's last use is noted, and what its notices are kept under. The
// secret cannot be had from it.
func card(secret string) string {
	sum := sha256.Sum256([]byte("panel session " + secret))
	return "session/" + hex.EncodeToString(sum[:])
}

// visitor finds out who asks. ErrNotFound: nobody who has signed in.
func (p *panel) visitor(w http.ResponseWriter, r *http.Request) (*visit, error) {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return nil, mailbox.ErrNotFound
	}
	token, err := p.store.Token(mailbox.TokenSession, cookie.Value)
	if err != nil {
		return nil, err
	}
	session := card(cookie.Value)
	_, used, err := p.cards.Get(r.Context(), session)
	if errors.Is(err, mailbox.ErrNotFound) {
		used, err = token.Created, nil
	}
	if err != nil {
		return nil, err
	}
	if time.Since(used) > sessionIdle {
		return nil, errors.Join(p.forget(r.Context(), cookie.Value), mailbox.ErrNotFound)
	}
	if time.Since(used) > sessionTouch {
		if err := p.cards.Put(r.Context(), session, nil); err != nil {
			// A full disk must not keep its owner from seeing that it is full.
			p.log.Error("note a session's use", "err", err)
		}
	}
	a, err := p.store.AccountByID(token.Account)
	if err != nil {
		return nil, err
	}
	if a.Disabled {
		return nil, mailbox.ErrNotFound
	}
	return &visit{
		panel: p, w: w, r: r, account: a, session: session,
		caller: admin.Caller{Account: a.Address, Admin: a.Admin},
	}, nil
}

// begin opens a session for an account, and clears away what is left of old ones.
func (p *panel) begin(w http.ResponseWriter, r *http.Request, a mailbox.Account) error {
	ctx := r.Context()
	old, err := p.cards.List(ctx, "session/")
	if err != nil {
		return err
	}
	for _, key := range old {
		if _, used, err := p.cards.Get(ctx, key); err == nil && time.Since(used) > sessionGood {
			if err := p.cards.Delete(ctx, key); err != nil {
				return err
			}
		}
	}
	secret, err := p.store.NewToken(ctx, mailbox.TokenSession, a.ID, sessionGood)
	if err != nil {
		return err
	}
	setCookie(w, r, secret, sessionGood)
	p.log.Info("signed in", "account", a.Address, "from", client(r))
	return nil
}

func (p *panel) forget(ctx context.Context, secret string) error {
	_, err := p.store.TakeToken(ctx, mailbox.TokenSession, secret)
	if errors.Is(err, mailbox.ErrNotFound) {
		err = nil
	}
	return errors.Join(err, p.cards.Delete(ctx, card(secret)))
}

func signOut(v *visit) error {
	cookie, err := v.r.Cookie(cookieName(v.r))
	if err != nil {
		return err
	}
	if err := v.forget(v.r.Context(), cookie.Value); err != nil {
		return err
	}
	setCookie(v.w, v.r, "", -time.Second)
	http.Redirect(v.w, v.r, "/panel/sign-in", http.StatusSeeOther)
	return nil
}

// signInPage is what the sign-in form is filled with.
type signInPage struct{ Name, Next string }

// signIn is the form, and what comes of it.
func (p *panel) signIn(w http.ResponseWriter, r *http.Request) {
	page := signInPage{Name: r.PostFormValue("name"), Next: next(r.FormValue("next"))}
	f := frame{Title: "Sign in"}
	status := http.StatusOK
	if r.Method == http.MethodPost {
		err := p.checkPassword(w, r, page.Name, r.PostFormValue("password"))
		if err == nil {
			http.Redirect(w, r, page.Next, http.StatusSeeOther)
			return
		}
		e := admin.Explain(err)
		f.Problem, status = e.Message, e.Kind.Status()
		if errors.Is(err, mailbox.ErrBlocked) {
			status = http.StatusTooManyRequests
		}
	}
	f.Data = page
	p.render(w, status, "sign-in", f)
}

func (p *panel) checkPassword(w http.ResponseWriter, r *http.Request, name, password string) error {
	from := client(r)
	a, err := p.store.LoginPerson(r.Context(), from, name, password)
	if errors.Is(err, mailbox.ErrLogin) {
		p.log.Info("sign-in failed", "from", from)
	}
	if err != nil {
		return err
	}
	return p.begin(w, r, a)
}

// enter follows a sign-in link, which works once.
func (p *panel) enter(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.Header.Get("Sec-Purpose"), "prefetch") {
		w.WriteHeader(http.StatusServiceUnavailable) // a browser that only guesses must not use it up
		return
	}
	err := p.follow(w, r)
	if err == nil {
		http.Redirect(w, r, admin.PanelPath, http.StatusSeeOther)
		return
	}
	if _, already := p.visitor(w, r); already == nil {
		http.Redirect(w, r, admin.PanelPath, http.StatusSeeOther)
		return
	}
	e := admin.Explain(err)
	p.render(w, e.Kind.Status(), "sign-in", frame{Title: "Sign in", Problem: e.Message, Data: signInPage{Next: admin.PanelPath}})
}

func (p *panel) follow(w http.ResponseWriter, r *http.Request) error {
	token, err := p.store.TakeToken(r.Context(), mailbox.TokenSignIn, r.URL.Query().Get("token"))
	if err != nil {
		return err
	}
	a, err := p.store.AccountByID(token.Account)
	if err != nil {
		return err
	}
	if a.Disabled {
		return mailbox.ErrLogin
	}
	return p.begin(w, r, a)
}

// next is where a sign-in leads: a page of the panel, never another site.
func next(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(u.Path, admin.PanelPath) || strings.Contains(u.Path, "..") {
		return admin.PanelPath
	}
	return u.RequestURI()
}
