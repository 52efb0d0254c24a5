package admin

import (
	"embed"
	"encoding/xml"
	"html/template"
	"io"
	"net"
	"net/http"
	"strings"

	"roost/admin/records"
	"roost/mailbox"
)

//go:embed ui
var ui embed.FS

// service is one way into the server that a mail program can be set up for.
type service struct {
	Kind string // "IMAP" or "SMTP"
	TLS  bool   // from the first byte; else STARTTLS
	Port string
}

// services lists the doors for mail programs, the best first (RFC 8314 section 3).
func (o *Office) services() []service {
	var list []service
	for _, s := range []struct {
		listener, kind string
		tls            bool
	}{{"imaps", "IMAP", true}, {"imap", "IMAP", false}, {"submissions", "SMTP", true}, {"submission", "SMTP", false}} {
		for _, l := range o.Listeners {
			if _, port, err := net.SplitHostPort(l.Address); err == nil && l.Name == s.listener {
				list = append(list, service{s.kind, s.tls, port})
			}
		}
	}
	return list
}

// Public is what strangers may fetch over http and https: a page that says what is here,
// the settings that mail programs look for, and the MTA-STS policy. It says nothing that
// the DNS does not say too.
func (o *Office) Public() http.Handler {
	page := template.Must(template.ParseFS(ui, "ui/landing.html"))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { o.landing(w, r, page) })
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, ui, "ui/style.css")
	})
	// Thunderbird asks under the first at autoconfig.DOMAIN, and under the second at DOMAIN.
	mux.HandleFunc("GET /mail/config-v1.1.xml", o.autoconfig)
	mux.HandleFunc("GET /.well-known/autoconfig/mail/config-v1.1.xml", o.autoconfig)
	mux.HandleFunc("GET /.well-known/mta-sts.txt", o.policy)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if strings.EqualFold(r.URL.Path, autodiscoverPath) {
			o.autodiscover(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// hosted returns the domain of ours that name belongs to: itself, or without one of the labels.
func (o *Office) hosted(name string, labels ...string) (string, bool) {
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	name, err := mailbox.ParseDomain(name)
	if err != nil {
		return "", false
	}
	if _, err := o.Store.Domain(name); err == nil {
		return name, true
	}
	for _, label := range labels {
		if domain, ok := strings.CutPrefix(name, label+"."); ok {
			_, err := o.Store.Domain(domain)
			return domain, err == nil
		}
	}
	return "", false
}

func (o *Office) landing(w http.ResponseWriter, r *http.Request, page *template.Template) {
	domain, _ := o.hosted(r.Host, "mail", "autoconfig", "autodiscover", "mta-sts")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	err := page.Execute(w, struct {
		Domain, Host string
		Services     []service
	}{domain, o.Hostname(), o.services()})
	if err != nil && o.Log != nil {
		o.Log.Debug("landing page", "err", err)
	}
}

func (o *Office) policy(w http.ResponseWriter, r *http.Request) {
	name, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		name = r.Host
	}
	domain, found := strings.CutPrefix(strings.ToLower(name), "mta-sts.")
	if _, ours := o.hosted(domain); !found || !ours {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=us-ascii")
	_, _ = io.WriteString(w, records.NewPolicy(o.Hostname()).String())
}

// The file that Thunderbird and others read, as Mozilla's autoconfig format 1.1 has it.
type clientConfig struct {
	XMLName  xml.Name `xml:"clientConfig"`
	Version  string   `xml:"version,attr"`
	Provider struct {
		ID        string         `xml:"id,attr"`
		Domain    string         `xml:"domain"`
		Name      string         `xml:"displayName"`
		ShortName string         `xml:"displayShortName"`
		Incoming  []clientServer `xml:"incomingServer"`
		Outgoing  []clientServer `xml:"outgoingServer"`
	} `xml:"emailProvider"`
}

type clientServer struct {
	Type           string `xml:"type,attr"`
	Hostname       string `xml:"hostname"`
	Port           string `xml:"port"`
	SocketType     string `xml:"socketType"`
	Authentication string `xml:"authentication"`
	Username       string `xml:"username"`
}

func (o *Office) autoconfig(w http.ResponseWriter, r *http.Request) {
	name := r.Host
	if _, domain, found := strings.Cut(r.URL.Query().Get("emailaddress"), "@"); found {
		name = domain
	}
	domain, ours := o.hosted(name, "autoconfig")
	if !ours {
		http.NotFound(w, r)
		return
	}
	c := clientConfig{Version: "1.1"}
	p := &c.Provider
	p.ID, p.Domain, p.Name, p.ShortName = domain, domain, domain, domain
	for _, s := range o.services() {
		server := clientServer{
			Type: strings.ToLower(s.Kind), Hostname: o.Hostname(), Port: s.Port,
			SocketType: "STARTTLS", Authentication: "password-cleartext", Username: "%EMAILADDRESS%",
		}
		if s.TLS {
			server.SocketType = "SSL"
		}
		if s.Kind == "IMAP" {
			p.Incoming = append(p.Incoming, server)
		} else {
			p.Outgoing = append(p.Outgoing, server)
		}
	}
	body, err := xml.MarshalIndent(c, "", "  ")
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	_, _ = io.WriteString(w, xml.Header+string(body)+"\n")
}
