package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"roost/admin"
	"roost/mailbox"
)

// Welcome prints what a person who has just started `roost local` needs to try it: where
// everything is, who can log in with which password, and lines to paste. Remote says what
// becomes of mail to other domains.
func Welcome(ctx context.Context, w io.Writer, o *admin.Office, remote string) error {
	s, err := o.Status(ctx)
	if err != nil {
		return err
	}
	var table strings.Builder
	tw := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	at := map[string]string{}
	for _, l := range s.Listeners {
		at[l.Name] = l.Address
		where := l.Address
		if strings.HasPrefix(l.Name, "http") {
			where = l.Name + "://" + where + "/"
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\n", purpose(l.Name), where, l.Name)
	}
	fmt.Fprintf(tw, "\t\t\n")
	for _, a := range s.Accounts {
		note := ""
		if a.Admin {
			note = "administrator"
		}
		fmt.Fprintf(tw, "  account\t%s\t%s\n", a.Address, note)
	}
	fmt.Fprintf(tw, "  password\t%s\tuntil you change it\n", admin.LocalPassword)
	fmt.Fprintf(tw, "  other domains\t%s\n", remote)
	ca := filepath.Join(s.Data, "ca.pem")
	fmt.Fprintf(tw, "  data\t%s\n  certificate authority\t%s\n", s.Data, ca)
	tw.Flush()
	fmt.Fprintf(w, "Roost %s on this machine. Ctrl-C stops it.\n\n", s.Version)
	for line := range strings.Lines(table.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
	if err := invite(ctx, w, o, s); err != nil {
		return err
	}
	if len(s.Accounts) > 0 {
		me := s.Accounts[0].Address
		if addr, ok := at["smtp"]; ok {
			fmt.Fprintf(w, "\nSend a message, then read it:\n  swaks --to %s --server %s\n", me, reach(addr))
		}
		if addr, ok := at["imaps"]; ok {
			fmt.Fprintf(w, "  curl --cacert %s -u %s:%s 'imaps://%s/INBOX;MAILINDEX=1'\n", shellQuote(ca), me, admin.LocalPassword, reach(addr))
		}
	}
	_, err = fmt.Fprintln(w)
	return err
}

// DataFlag is the flag that a command needs for a data directory, with a space before it;
// empty when the command would find it, or ask which is meant.
func DataFlag(dir string) string {
	if dir == systemDir {
		return "" // the home directory of the person who will type it is not ours to look into
	}
	if found, err := FindDir(); err == nil && found == dir {
		return ""
	}
	return " --data " + shellQuote(dir)
}

// invite prints a link that opens the panel for an administrator, once. Over http a
// browser has nothing to complain of, and nothing leaves this machine.
func invite(ctx context.Context, w io.Writer, o *admin.Office, s admin.Status) error {
	for _, scheme := range []string{"http", "https"} {
		for _, l := range s.Listeners {
			if l.Name != scheme {
				continue
			}
			for _, a := range s.Accounts {
				if !a.Admin {
					continue
				}
				link, err := o.SignInLink(ctx, mailbox.Address(a.Address))
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(w, "\nOpen the panel as %s. This link works once:\n  %s://%s%s\n", a.Address, scheme, reach(l.Address), link)
				return err
			}
		}
	}
	return nil
}

func purpose(listener string) string {
	switch listener {
	case "smtp":
		return "mail comes in"
	case "submission":
		return "send mail (STARTTLS)"
	case "submissions":
		return "send mail (TLS)"
	case "imap":
		return "read mail (STARTTLS)"
	case "imaps":
		return "read mail (TLS)"
	}
	return "web"
}

// reach is where a listener is reached from this machine.
func reach(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}

func shellQuote(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%", r)
	}) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}
