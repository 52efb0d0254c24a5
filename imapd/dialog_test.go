package imapd_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"roost/imapd"
	"roost/mailbox"
)

// TestDialogs plays the dialogs of testdata/dialogs, each with an account of
// its own. A dialog's comment says what it shows. Its lines are:
//
//	C: text      the client sends a line; C2: is another connection
//	C< file      the client sends a file of the archive, with CRLF line ends
//	C= "text"    the client sends these octets
//	S: text      the server sends this line
//	S< file      the server sends these octets
//	S: ...       the server sends any lines, up to the next one expected
//	E:           the server closes the connection
//	D: file …    a delivery: file, then mailbox=NAME, flags=\Seen,$Junk or
//	             date=RFC3339, all optional
//	X: command   something that another program does to the store, see outside
//	R: 1 2       these numbers rise
//	TLS:         the client begins TLS
//
// $me is the account's address, $plain what AUTHENTICATE PLAIN wants of it.
// A connection is logged in under TLS when it is first used, unless the dialog
// has a line "plain:" or "tls:" (not logged in) before. In an expected line
// {{…}} is a regular expression, <<name:…>> one whose match $name stands for
// from then on; {len:file} is a file's length, {x*1000} a thousand x, {uids:1000}
// a set of UIDs of so many octets, from high to low and none beside another.
func TestDialogs(t *testing.T) {
	h := newHouse(t, imapd.Limits{})
	addr := h.serve(t)
	files, err := filepath.Glob("testdata/dialogs/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no dialogs", err)
	}
	t.Run("all", func(t *testing.T) { // before the server stops
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
				t.Parallel()
				archive, err := txtar.ParseFile(file)
				if err != nil {
					t.Fatal(err)
				}
				d := &dialog{T: t, house: h, addr: addr, files: make(map[string]string), vars: make(map[string]string), conns: make(map[string]*conn), login: true}
				for _, f := range archive.Files {
					d.files[f.Name] = strings.ReplaceAll(string(f.Data), "\n", "\r\n")
				}
				d.account = h.person(t)
				d.vars["me"] = string(d.account.Address)
				d.vars["plain"] = base64.StdEncoding.EncodeToString([]byte("\x00" + string(d.account.Address) + "\x00" + password))
				d.play(file)
			})
		}
	})
}

// patience is how long a step may take on a busy machine. A command that takes ten
// seconds says so with INPROGRESS (RFC 9585), which dialogs are silent about.
const patience = time.Minute

type dialog struct {
	*testing.T
	house   *house
	account mailbox.Account
	addr    string
	files   map[string]string
	vars    map[string]string
	conns   map[string]*conn
	login   bool
	tls     bool
	any     bool // "S: ..." came before
}

type conn struct {
	net.Conn
	r *bufio.Reader
}

func (d *dialog) play(file string) {
	defer func() {
		for _, c := range d.conns {
			c.Close()
		}
	}()
	d.tls = true
	text, err := os.ReadFile(file)
	if err != nil {
		d.Fatal(err)
	}
	inDialog := false
	for n, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "-- ") {
			inDialog = line == "-- dialog --"
			continue
		}
		if !inDialog || line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := d.line(line); err != nil {
			d.Fatalf("%s:%d: %s\n%v", file, n+1, line, err)
		}
	}
}

func (d *dialog) line(line string) error {
	verb, rest := line, ""
	if i := strings.IndexAny(line, ":<="); i > 0 {
		verb, rest = line[:i+1], strings.TrimPrefix(line[i+1:], " ")
	}
	name := strings.Trim(verb, "CSET:<=")
	rest = d.expand(rest)
	switch verb[0] {
	case 'p', 't':
		d.login, d.tls = false, verb == "tls:"
		return nil
	case 'D':
		return d.delivery(strings.Fields(rest))
	case 'X':
		return d.outside(strings.Fields(rest))
	case 'R':
		return rising(strings.Fields(rest))
	}
	if verb == "TLS:" {
		return d.startTLS("")
	}
	c, err := d.conn(name)
	if err != nil {
		return err
	}
	c.SetDeadline(time.Now().Add(patience))
	kind := verb[:1] + verb[len(verb)-1:]
	switch kind {
	case "C:":
		_, err = io.WriteString(c, rest+"\r\n")
	case "C<":
		_, err = io.WriteString(c, d.files[rest])
	case "C=":
		if rest, err = strconv.Unquote(rest); err == nil {
			_, err = io.WriteString(c, rest)
		}
	case "S:":
		return d.expect(c, rest)
	case "S<":
		got := make([]byte, len(d.files[rest]))
		if _, err = io.ReadFull(c.r, got); err == nil && string(got) != d.files[rest] {
			err = fmt.Errorf("got %q", got)
		}
	case "E:":
		if rest, err := c.r.ReadString('\n'); err == nil {
			return fmt.Errorf("not closed: %q", rest)
		}
	default:
		err = fmt.Errorf("unknown line")
	}
	return err
}

func rising(numbers []string) error {
	last := -1
	for _, word := range numbers {
		n, err := strconv.Atoi(word)
		if err != nil {
			return err
		}
		if n <= last {
			return fmt.Errorf("%d after %d", n, last)
		}
		last = n
	}
	return nil
}

func (d *dialog) expand(s string) string {
	s = regexp.MustCompile(`\{(.)\*(\d+)\}`).ReplaceAllStringFunc(s, func(m string) string {
		n, _ := strconv.Atoi(m[3 : len(m)-1])
		return strings.Repeat(m[1:2], n)
	})
	s = regexp.MustCompile(`\{uids:\d+\}`).ReplaceAllStringFunc(s, func(m string) string {
		n, _ := strconv.Atoi(m[6 : len(m)-1])
		var set strings.Builder
		for uid := 10000 + n; set.Len() < n; uid -= 2 {
			fmt.Fprintf(&set, "%d,", uid)
		}
		return strings.TrimRight(set.String()[:n-1], ",") + "1" // its last is short
	})
	s = regexp.MustCompile(`\{len:([^}]+)\}`).ReplaceAllStringFunc(s, func(m string) string {
		return strconv.Itoa(len(d.files[m[5:len(m)-1]]))
	})
	return regexp.MustCompile(`\$[a-z]+\b`).ReplaceAllStringFunc(s, func(m string) string {
		if v, ok := d.vars[m[1:]]; ok {
			return v
		}
		return m
	})
}

func (d *dialog) expect(c *conn, want string) error {
	if want == "..." {
		d.any = true
		return nil
	}
	pattern := regexp.MustCompile(`\{\{.*?\}\}|<<.*?>>`)
	var expr strings.Builder
	last := 0
	for _, at := range pattern.FindAllStringIndex(want, -1) {
		expr.WriteString(regexp.QuoteMeta(want[last:at[0]]))
		part := want[at[0]+2 : at[1]-2]
		if name, e, ok := strings.Cut(part, ":"); ok && want[at[0]] == '<' {
			fmt.Fprintf(&expr, "(?P<%s>%s)", name, e)
		} else {
			fmt.Fprintf(&expr, "(?:%s)", part)
		}
		last = at[1]
	}
	expr.WriteString(regexp.QuoteMeta(want[last:]))
	re, err := regexp.Compile("^" + expr.String() + "$")
	if err != nil {
		return err
	}
	var passed []string
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("%w after %q", err, passed)
		}
		if line = strings.TrimSuffix(line, "\r\n"); strings.HasSuffix(line, "\n") {
			return fmt.Errorf("bare LF in %q", line)
		}
		if strings.HasPrefix(line, "* OK [INPROGRESS ") {
			continue
		}
		if m := re.FindStringSubmatch(line); m != nil {
			for i, name := range re.SubexpNames() {
				if name != "" {
					d.vars[name] = m[i]
				}
			}
			d.any = false
			return nil
		}
		if !d.any {
			return fmt.Errorf("got %q", line)
		}
		passed = append(passed, line)
	}
}

func (d *dialog) conn(name string) (*conn, error) {
	if c := d.conns[name]; c != nil {
		return c, nil
	}
	raw, err := net.Dial("tcp", d.addr)
	if err != nil {
		return nil, err
	}
	c := &conn{raw, bufio.NewReader(raw)}
	d.conns[name] = c
	if !d.tls {
		return c, nil
	}
	raw.SetDeadline(time.Now().Add(patience))
	if _, err := c.r.ReadString('\n'); err != nil {
		return nil, err
	}
	fmt.Fprint(c, "tls STARTTLS\r\n")
	if line, err := c.r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "tls OK") {
		return nil, fmt.Errorf("%q, %w", line, err)
	}
	if err := d.startTLS(name); err != nil || !d.login {
		return c, err
	}
	fmt.Fprintf(c, "login LOGIN %s \"%s\"\r\n", d.account.Address, password)
	line, err := c.r.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "login OK") {
		return nil, fmt.Errorf("%q, %w", line, err)
	}
	return c, nil
}

func (d *dialog) startTLS(name string) error {
	c := d.conns[name]
	secure := tls.Client(c.Conn, d.house.clientTLS())
	c.Conn, c.r = secure, bufio.NewReader(secure)
	return secure.Handshake()
}

func (d *dialog) delivery(args []string) error {
	p := mailbox.Placement{Account: d.account.ID, Date: time.Date(2024, 2, 1, 15, 4, 5, 0, time.FixedZone("", 3600))}
	for _, a := range args[1:] {
		k, v, _ := strings.Cut(a, "=")
		switch k {
		case "mailbox":
			p.Name = v
		case "date":
			var err error
			if p.Date, err = time.Parse(time.RFC3339, v); err != nil {
				return err
			}
		case "flags":
			for f := range strings.SplitSeq(v, ",") {
				bit := map[string]mailbox.Flags{`\Seen`: mailbox.Seen, `\Deleted`: mailbox.Deleted, `\Flagged`: mailbox.Flagged, `\Draft`: mailbox.Draft, `\Answered`: mailbox.Answered}[f]
				if p.Flags |= bit; bit == 0 {
					p.Keywords = append(p.Keywords, f)
				}
			}
		case "prefix":
			p.Prefix = []byte(d.files[v])
		default:
			return fmt.Errorf("unknown %s", a)
		}
	}
	if args[0] == "many" {
		for i := range 20 {
			d.house.deliver(d, p, fmt.Sprintf("From: a@example.com\r\nSubject: number %d\r\n\r\ntext %d\r\n", i+1, i+1))
		}
		return nil
	}
	text, ok := d.files[args[0]]
	if !ok {
		return fmt.Errorf("no file %s", args[0])
	}
	d.house.deliver(d, p, text)
	return nil
}

// outside changes the store as another session or program would, at a moment
// when no session of the dialog looks.
func (d *dialog) outside(args []string) error {
	ctx, store, id := context.Background(), d.house.store, d.account.ID
	f, err := store.FolderNamed(id, args[1])
	if err != nil {
		return err
	}
	var uids []mailbox.UID
	for _, a := range args[2:] {
		n, err := strconv.Atoi(a)
		if err != nil {
			break
		}
		uids = append(uids, mailbox.UID(n))
	}
	switch args[0] {
	case "expunge":
		if _, err := store.SetFlags(ctx, id, f.ID, uids, mailbox.FlagUpdate{Change: mailbox.AddFlags, Flags: mailbox.Deleted}); err != nil {
			return err
		}
		_, err = store.Expunge(ctx, id, f.ID, uids)
	case "away":
		_, err = store.Move(ctx, id, f.ID, uids, "Trash")
	case "flag", "unflag", "seen":
		u := mailbox.FlagUpdate{Change: mailbox.AddFlags, Flags: mailbox.Flagged}
		if args[0] == "seen" {
			u.Flags = mailbox.Seen
		} else if args[0] == "unflag" {
			u.Change = mailbox.RemoveFlags
		}
		_, err = store.SetFlags(ctx, id, f.ID, uids, u)
	case "keyword":
		_, err = store.SetFlags(ctx, id, f.ID, uids, mailbox.FlagUpdate{Change: mailbox.AddFlags, Keywords: args[len(args)-1:]})
	case "hide":
		_, err = store.ChangeAccount(ctx, d.account.Address, func(a *mailbox.Account) error { a.Hidden = args[2:]; return nil })
	case "delete":
		err = store.DeleteFolder(ctx, id, args[1])
	case "quota": // in KB
		_, err = store.ChangeAccount(ctx, d.account.Address, func(a *mailbox.Account) error { a.Quota = int64(uids[0]) << 10; return nil })
	case "restrict": // to app passwords
		_, err = store.ChangeAccount(ctx, d.account.Address, func(a *mailbox.Account) error { a.AppOnly = true; return nil })
	default:
		return fmt.Errorf("unknown %s", args[0])
	}
	return err
}
