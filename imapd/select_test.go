package imapd_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"roost/imapd"
	"roost/mailbox"
)

// SELECT tells of one moment: what changes while its answer is written is told by the
// next command, and all of it. The answer stops in the middle of the flags, for a
// client that does not read, and meanwhile everything that can change does.
func TestSelectTellsOfOneMoment(t *testing.T) {
	for _, resync := range []bool{false, true} {
		t.Run(fmt.Sprintf("QRESYNC=%v", resync), func(t *testing.T) {
			inBubble(t, imapd.Limits{}, func(b *bubble) { selectWhileItChanges(b, resync) })
		})
	}
}

func selectWhileItChanges(b *bubble, resync bool) {
	ctx, me := b.Context(), b.me.ID
	for range 6 {
		b.deliver(b, mailbox.Placement{Account: me}, "Subject: x\r\n\r\nx\r\n")
	}
	inbox, err := b.store.FolderNamed(me, "INBOX")
	if err != nil {
		b.Fatal(err)
	}
	flag := func(uid mailbox.UID, u mailbox.FlagUpdate) {
		b.Helper()
		if _, err := b.store.SetFlags(ctx, me, inbox.ID, []mailbox.UID{uid}, u); err != nil {
			b.Fatal(err)
		}
	}
	long := mailbox.FlagUpdate{Change: mailbox.AddFlags} // two lists of them are more than the server holds back
	for i := range 60 {
		long.Keywords = append(long.Keywords, fmt.Sprintf("k%d-%s", i, strings.Repeat("x", 180)))
	}
	flag(1, long)
	flag(4, mailbox.FlagUpdate{Change: mailbox.AddFlags, Flags: mailbox.Flagged})

	c := b.login("192.0.2.1")
	want := []string{"* FLAGS ", "* OK [PERMANENTFLAGS ", "* 6 EXISTS", "* 6 RECENT", "* OK [UNSEEN 1]", "* OK [UIDVALIDITY ", "* OK [UIDNEXT 7]", "* OK [HIGHESTMODSEQ ", "* OK [MAILBOXID "}
	command := "a SELECT INBOX"
	if resync {
		c.send("e ENABLE QRESYNC")
		c.expect("* ENABLED")
		c.expect("e OK")
		command += fmt.Sprintf(" (QRESYNC (%d 1 1:5))", inbox.UIDValidity)
		// Of 2 and 3 there is nothing to tell that is not of later: they are told with that.
		want = append(want, "* 1 FETCH (UID 1 FLAGS (k0-", "* 4 FETCH (UID 4 FLAGS (\\Flagged", "* 5 FETCH (UID 5 FLAGS (\\Recent)")
	}
	c.send("%s", command)
	synctest.Wait() // until the server waits for the client to read
	flag(2, mailbox.FlagUpdate{Change: mailbox.AddFlags, Flags: mailbox.Deleted})
	if _, err := b.store.Expunge(ctx, me, inbox.ID, nil); err != nil {
		b.Fatal(err)
	}
	flag(3, mailbox.FlagUpdate{Change: mailbox.AddFlags, Keywords: []string{"$later"}})
	b.deliver(b, mailbox.Placement{Account: me}, "Subject: y\r\n\r\ny\r\n")
	for _, line := range want {
		c.expect(line)
	}
	c.expect("a OK [READ-WRITE]")

	c.send("b NOOP")
	c.expect("* FLAGS (\\Answered")
	c.expect("* OK [PERMANENTFLAGS ")
	c.expect("* 7 EXISTS")
	c.expect("* 7 RECENT")
	if resync {
		c.expect("* VANISHED 2\r\n")
	} else {
		c.expect("* 2 EXPUNGE")
	}
	c.expect("* 2 FETCH (UID 3 FLAGS ($later \\Recent)")
	c.expect("b OK")
	c.send("c UID FETCH 1:* (UID)")
	for n, uid := range []int{1, 3, 4, 5, 6, 7} {
		c.expect(fmt.Sprintf("* %d FETCH (UID %d)", n+1, uid))
	}
	c.expect("c OK")
	c.Close()
}
