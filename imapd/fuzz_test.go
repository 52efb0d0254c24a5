package imapd_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"roost/imapd"
	"roost/mailbox"
)

// FuzzSession sends any octets over a connection that is logged in. Whatever
// they are, the session must end when the client does, every line it writes
// must be whole, and nothing must be the server's own fault.
func FuzzSession(f *testing.F) {
	for _, s := range []string{
		"a SELECT INBOX\r\nb FETCH 1:* (FLAGS BODY[1.HEADER.FIELDS (From)]<0.5> BODYSTRUCTURE ENVELOPE)\r\nc UID FETCH 1 BINARY[1]\r\n",
		"a EXAMINE inbox\r\nb SEARCH RETURN (MIN SAVE) OR (SEEN NOT 5) SINCE 1-Feb-2024\r\nc FETCH $ BODY\r\nd SEARCH TEXT {3+}\r\nabc\r\n",
		"a APPEND INBOX (\\Seen) {30+}\r\nContent-Type: multipart/mixed;\r\n\r\nb STATUS INBOX (MESSAGES SIZE)\r\n",
		"a SELECT INBOX\r\nb STORE 1:* +FLAGS.SILENT (\\Deleted $x)\r\nc UID EXPUNGE 1:3\r\nd COPY * Trash\r\ne MOVE 1 Junk\r\nf CLOSE\r\n",
		"a CREATE x/&ZeVnLIqe-/y (USE (\\Sent))\r\nb LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (% *) RETURN (STATUS (SIZE))\r\nc RENAME x z\r\nd DELETE z\r\n",
		"a SELECT INBOX (CONDSTORE)\r\nb STORE 1:* (UNCHANGEDSINCE 5) +FLAGS (\\Seen)\r\nc FETCH 1:* (FLAGS MODSEQ) (CHANGEDSINCE 1)\r\nd SEARCH MODSEQ \"/flags/\\\\Seen\" all 2\r\ne STATUS INBOX (HIGHESTMODSEQ)\r\n",
		"a ENABLE QRESYNC\r\nb SELECT INBOX (QRESYNC (1 1 1:9 (1:2 1:2)))\r\nc UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)\r\nd STORE 1 +FLAGS (\\Deleted)\r\ne EXPUNGE\r\nf CLOSE\r\n",
		"a SELECT INBOX\r\nb SORT (REVERSE DATE SUBJECT DISPLAYFROM) UTF-8 NOT SEEN\r\nc UID SORT RETURN (MIN MAX COUNT PARTIAL 1:5) (SIZE ARRIVAL) US-ASCII ALL\r\nd THREAD REFERENCES UTF-8 ALL\r\ne UID THREAD ORDEREDSUBJECT US-ASCII TEXT {3+}\r\none\r\n",
		"a APPEND INBOX (\\Seen) \" 1-Feb-2024 10:00:00 +0100\" {4+}\r\nA: b (\\Draft) ~{5+}\r\nC: d\x00 {0+}\r\n\r\nb APPEND INBOX {1+}\r\nx {2}\r\n",
		"a SELECT INBOX\r\nb UID SEARCH RETURN (PARTIAL -1:-5 SAVE) ALL\r\nc UID FETCH $ (UID PREVIEW SAVEDATE EMAILID) (PARTIAL 1:2)\r\nd FETCH 1:* (BODY.PEEK[1.MIME]<0.0> BINARY.PEEK[1]<2.3> BINARY.SIZE[1])\r\n",
		"a SETMETADATA INBOX (/private/comment \"x\" /shared/b ~{3+}\r\n\x00a)\r\nb GETMETADATA (DEPTH 1 MAXSIZE 2) INBOX (/private /shared)\r\nc LIST \"\" * RETURN (METADATA (/private/comment))\r\n",
		"a NOTIFY SET STATUS (SELECTED (MessageNew (UID FLAGS BODY.PEEK[HEADER.FIELDS (From)]) MessageExpunge FlagChange)) (PERSONAL (MessageNew MessageExpunge MailboxName)) (SUBTREE (INBOX x) (SubscriptionChange MailboxMetadataChange ServerMetadataChange))\r\nb SELECT INBOX\r\nc UID COPY 1:* INBOX\r\nd CREATE x/y\r\ne RENAME x z\r\nf SETMETADATA z (/private/a \"b\")\r\ng NOTIFY NONE\r\nh EXPUNGE\r\n",
		"a SELECT INBOX\r\nb NOTIFY SET (SELECTED-DELAYED (MessageNew MessageExpunge))\r\nc STORE 1:* +FLAGS (\\Deleted)\r\nd NOTIFY SET (SELECTED NONE)\r\ne EXPUNGE\r\nf MOVE 1:2 x\r\ng NOTIFY SET (SELECTED (MessageNew (BODY[]) MessageExpunge FlagChange))\r\nh APPEND INBOX {4+}\r\nA: b\r\n",
		"a ESEARCH IN (personal subtree-one (INBOX x) mailboxes y) RETURN (MIN COUNT PARTIAL 1:2) CHARSET UTF-8 OR 1:* UID *\r\nb SELECT INBOX\r\nc ESEARCH RETURN (SAVE) NOT RECENT\r\nd ESEARCH IN (selected subscribed) $\r\n",
		"a ENABLE UIDONLY QRESYNC METADATA\r\nb SELECT INBOX (QRESYNC (1 1 1:9 (1 1)))\r\nc UID FETCH 1:* (FLAGS UID)\r\nd UID STORE 1:* +FLAGS (\\Deleted)\r\ne EXPUNGE\r\nf UID SEARCH 1\r\ng FETCH 1 UID\r\nh UNAUTHENTICATE\r\n",
		"a ENABLE IMAP4rev2\r\nb SELECT INBOX\r\nc IDLE\r\nDONE\r\nd ID (\"a\" \"b\")\r\ne NAMESPACE\r\nf LSUB \"\" *\r\n",
	} {
		f.Add([]byte(s))
	}
	h := newHouse(f, imapd.Limits{})
	me := h.person(f)
	p := &pipes{make(chan net.Conn), make(chan struct{})}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- h.server.Serve(ctx, tls.NewListener(p, h.tls)) }()
	f.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, in []byte) {
		h.deliver(t, mailbox.Placement{Account: me.ID}, "From: a@example.com\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b--\r\n")
		ours, theirs := net.Pipe()
		defer ours.Close()
		p.conns <- from{theirs, "127.0.0.1"}
		ours.SetDeadline(time.Now().Add(time.Minute))
		c := tls.Client(ours, h.clientTLS())
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		go func() {
			fmt.Fprintf(c, "login LOGIN %s \"%s\"\r\n", me.Address, password)
			c.Write(in)
			c.CloseWrite()
		}()
		out, err := io.ReadAll(c)
		if err != nil && !strings.Contains(err.Error(), "closed") {
			t.Fatalf("%v after %.2000q", err, out)
		}
		for _, word := range []string{"SERVERBUG", "CORRUPTION"} {
			if strings.Contains(string(out), "NO ["+word) {
				t.Fatalf("%.2000q", out)
			}
		}
		if err := whole(string(out)); err != nil {
			t.Fatalf("%v in %.2000q", err, out)
		}
	})
}

// whole checks that a server's output is lines, with their literals.
func whole(out string) error {
	for out != "" {
		line, rest, ok := strings.Cut(out, "\r\n")
		if !ok || strings.ContainsAny(line, "\r\n\x00") {
			return fmt.Errorf("line %q", line)
		}
		out = rest
		if i := strings.LastIndexByte(line, '{'); i >= 0 && strings.HasSuffix(line, "}") {
			var size int
			if _, err := fmt.Sscanf(line[i:], "{%d}", &size); err == nil {
				if size > len(out) {
					return fmt.Errorf("literal of %d octets", size)
				}
				out = out[size:]
			}
		}
	}
	return nil
}
