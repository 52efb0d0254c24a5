package admin

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"roost/admin/records"
	"roost/mailbox"
)

// Relay is the smart host for mail to others, without its password.
type Relay struct {
	URL        string `json:"url"` // empty: none, mail goes to each domain's own exchangers
	SPFInclude string `json:"spf_include,omitempty"`
}

// Text is the relay in a line.
func (r Relay) Text(w io.Writer, _ any) error {
	text := "Mail to others goes straight to their servers."
	if r.URL != "" {
		text = "Mail to others goes through " + r.URL + "."
		if r.SPFInclude != "" {
			text += " SPF records allow it with include:" + r.SPFInclude + "."
		}
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// parseRelay reads the URL of a smart host as a setting has it. The queue reads more closely.
func parseRelay(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	// The error of url.Parse quotes what may hold a password.
	if err != nil || !slices.Contains([]string{"smtp", "smtp+starttls", "smtps"}, u.Scheme) || u.Hostname() == "" ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errorf(Invalid, "that is not a smart host: want smtps://USER@HOST, smtp+starttls://USER@HOST or smtp://HOST, with :PORT where wanted")
	}
	u.Host = strings.ToLower(u.Host)
	return u, nil
}

func relayShow(_ context.Context, o *Office, _ *struct{}) (Relay, error) {
	s, err := o.Store.Settings()
	if err != nil || s.Relay == "" {
		return Relay{}, err
	}
	u, err := parseRelay(s.Relay)
	if err != nil {
		return Relay{}, err
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	include := s.SPFInclude
	if include == "" {
		include = records.IncludeFor(u.Hostname())
	}
	return Relay{u.String(), include}, nil
}

type relayArgs struct {
	URL      string `json:"url" arg:"" help:"The smart host: smtps://USER@HOST (TLS, port 465), smtp+starttls://USER@HOST (port 587) or smtp://HOST (port 25), with :PORT where wanted."`
	Password Secret `json:"password,omitempty" name:"password-stdin" ask:"no" help:"Read the password of USER from the first line of standard input."`
	Include  string `json:"spf_include,omitempty" name:"spf-include" placeholder:"DOMAIN" help:"What the relay's provider wants included in SPF records, such as spf.example.com; not needed for large providers."`
}

func relaySet(ctx context.Context, o *Office, a *relayArgs) (Relay, error) {
	u, err := parseRelay(a.URL)
	if err != nil {
		return Relay{}, err
	}
	if a.Password != "" {
		if u.User == nil {
			return Relay{}, errorf(Invalid, "there is a password but no user: want smtps://USER@HOST")
		}
		u.User = url.UserPassword(u.User.Username(), string(a.Password))
	}
	if u.User != nil {
		if word, _ := u.User.Password(); word == "" || u.User.Username() == "" {
			return Relay{}, errorf(Invalid, "the user of a smart host needs a password: give it with --password-stdin")
		}
	}
	include := ""
	if a.Include != "" {
		// People copy the whole term.
		if include, err = mailbox.ParseDomain(strings.TrimPrefix(a.Include, "include:")); err != nil {
			return Relay{}, err
		}
	}
	err = o.Store.ChangeSettings(ctx, func(s *mailbox.Settings) error {
		s.Relay, s.SPFInclude = u.String(), include
		return nil
	})
	if err != nil {
		return Relay{}, err
	}
	return relayShow(ctx, o, nil)
}

func relayRemove(ctx context.Context, o *Office, _ *struct{}) (Relay, error) {
	err := o.Store.ChangeSettings(ctx, func(s *mailbox.Settings) error {
		s.Relay, s.SPFInclude = "", ""
		return nil
	})
	return Relay{}, err
}
