package imapd_test

import (
	"testing"
	"testing/synctest"
	"time"

	"roost/imapd"
	"roost/mailbox"
)

// With NOTIFY a connection lives as one in IDLE does, without a command.
func TestNotifyKeepsAlive(t *testing.T) {
	inBubble(t, imapd.Limits{}, func(b *bubble) {
		c := b.login("192.0.2.1")
		c.send("a NOTIFY SET (PERSONAL (MailboxName))")
		c.expect("a OK")
		begun := time.Now()
		for n := range 15 {
			c.expect("* OK Still here")
			b.took(begun, time.Duration(n+1)*4*time.Minute)
		}
		c.send("b NOTIFY NONE")
		c.expect("b OK")
		begun = time.Now()
		c.expect("* BYE no command for too long")
		b.took(begun, 30*time.Minute)
		c.expectClosed()
	})
}

// What an administrator notes for all accounts is told to each session that asked.
func TestNotifyOfTheServer(t *testing.T) {
	inBubble(t, imapd.Limits{}, func(b *bubble) {
		c, old := b.login("192.0.2.1"), b.login("192.0.2.1")
		c.send("a NOTIFY SET (PERSONAL (ServerMetadataChange))")
		c.expect("a OK")
		old.send("a ENABLE METADATA")
		old.expect("* ENABLED METADATA")
		old.expect("a OK")
		synctest.Wait()
		err := b.store.Annotate(b.Context(), mailbox.ServerAccount, mailbox.NoFolder, []mailbox.Annotation{{Entry: "/shared/comment", Value: []byte("x")}})
		if err != nil {
			b.Fatal(err)
		}
		c.expect("* METADATA \"\" /shared/comment\r\n")
		old.send("b NOOP")
		old.expect("* METADATA \"\" /shared/comment\r\n")
		old.expect("b OK")
		c.Close()
		old.Close()
	})
}

// A server that stops tells who only listens.
func TestStopWhileNotifying(t *testing.T) {
	inBubble(t, imapd.Limits{}, func(b *bubble) {
		c := b.login("192.0.2.1")
		c.send("a NOTIFY SET (PERSONAL (MailboxName))")
		c.expect("a OK")
		synctest.Wait()
		b.stop()
		c.expect("* BYE [UNAVAILABLE] the server is stopping")
		c.expectClosed()
	})
}
