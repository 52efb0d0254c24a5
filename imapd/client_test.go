package imapd_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"roost/imapd"
	"roost/mailbox"
)

// TestClient drives the server with go-imap's client through a day's work.
func TestClient(t *testing.T) {
	h := newHouse(t, imapd.Limits{})
	addr := h.serve(t)
	me := h.person(t)

	exists := make(chan uint32, 16)
	c, err := imapclient.DialStartTLS(addr, &imapclient.Options{
		TLSConfig: h.clientTLS(),
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				exists <- *d.NumMessages
			}
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	must("LOGIN", c.Login(string(me.Address), password).Wait())
	if caps := c.Caps(); !caps.Has(imap.CapIMAP4rev2) || !caps.Has(imap.CapMove) || !caps.Has(imap.CapSpecialUse) {
		t.Fatalf("capabilities %v", caps)
	}
	enabled, err := c.Enable(imap.CapIMAP4rev2).Wait()
	must("ENABLE", err)
	if !enabled.Caps.Has(imap.CapIMAP4rev2) {
		t.Fatal("not enabled")
	}
	must("CREATE", c.Create("Projekte/Köln", nil).Wait())

	want := "From: a@example.com\r\nSubject: one\r\n\r\ntext\r\n"
	date := time.Date(2024, 2, 1, 15, 4, 5, 0, time.FixedZone("", -7*3600))
	cmd := c.Append("Projekte/Köln", int64(len(want)), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen, "$Work"}, Time: date})
	io.WriteString(cmd, want)
	must("APPEND", cmd.Close())
	appended, err := cmd.Wait()
	must("APPEND", err)
	if appended.UID != 1 || appended.UIDValidity == 0 {
		t.Fatalf("appended %+v", appended)
	}

	listed, err := c.List("", "*", &imap.ListOptions{ReturnStatus: &imap.StatusOptions{NumMessages: true, NumUnseen: true, Size: true}}).Collect()
	must("LIST", err)
	i := slices.IndexFunc(listed, func(l *imap.ListData) bool { return l.Mailbox == "Projekte/Köln" })
	if i < 0 || *listed[i].Status.NumMessages != 1 || *listed[i].Status.NumUnseen != 0 || *listed[i].Status.Size != int64(len(want)) {
		t.Fatalf("listed %+v", listed)
	}

	box, err := c.Select("Projekte/Köln", nil).Wait()
	must("SELECT", err)
	if box.NumMessages != 1 || box.UIDNext != 2 || box.UIDValidity != appended.UIDValidity || !slices.Contains(box.PermanentFlags, imap.FlagWildcard) {
		t.Fatalf("selected %+v", box)
	}
	fetched, err := c.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{
		UID: true, Flags: true, Envelope: true, InternalDate: true, RFC822Size: true,
		BodyStructure: &imap.FetchItemBodyStructure{Extended: true},
		BodySection:   []*imap.FetchItemBodySection{{Peek: true}, {Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"Subject"}, Peek: true}},
		BinarySection: []*imap.FetchItemBinarySection{{Part: []int{1}, Peek: true}},
	}).Collect()
	must("FETCH", err)
	m := fetched[0]
	if m.UID != 1 || !slices.Equal(m.Flags, []imap.Flag{imap.FlagSeen, "$Work"}) || m.Envelope.Subject != "one" ||
		!m.InternalDate.Equal(date) || m.RFC822Size != int64(len(want)) || m.BodyStructure.MediaType() != "text/plain" ||
		string(m.BodySection[0].Bytes) != want || string(m.BodySection[1].Bytes) != "Subject: one\r\n\r\n" || string(m.BinarySection[0].Bytes) != "text\r\n" {
		t.Fatalf("fetched %+v", m)
	}

	// A delivery by somebody else arrives while the client idles.
	idle, err := c.Idle()
	must("IDLE", err)
	h.deliver(t, mailbox.Placement{Account: me.ID, Name: "Projekte/Köln"}, "From: b@example.com\r\nSubject: zwei\r\n\r\nneedle\r\n")
	select {
	case n := <-exists:
		if n != 2 {
			t.Fatalf("%d EXISTS", n)
		}
	case <-time.After(time.Minute):
		t.Fatal("no EXISTS while idle")
	}
	must("DONE", idle.Close())
	must("IDLE", idle.Wait())

	found, err := c.UIDSearch(&imap.SearchCriteria{Text: []string{"NEEDLE"}, NotFlag: []imap.Flag{imap.FlagSeen}}, &imap.SearchOptions{ReturnAll: true, ReturnCount: true}).Wait()
	must("SEARCH", err)
	if !slices.Equal(found.AllUIDs(), []imap.UID{2}) || found.Count != 1 {
		t.Fatalf("found %+v", found)
	}
	must("STORE", c.Store(imap.UIDSetNum(2), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}}, nil).Close())
	copied, err := c.Copy(imap.UIDSetNum(1, 2), "Archive").Wait()
	must("COPY", err)
	if fmt.Sprint(copied.SourceUIDs, copied.DestUIDs) != "1:2 1:2" {
		t.Fatalf("copied %+v", copied)
	}
	_, err = c.Move(imap.SeqSetNum(1), "Trash").Wait()
	must("MOVE", err)
	must("STORE", c.Store(imap.SeqSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close())
	must("EXPUNGE", c.UIDExpunge(imap.UIDSetNum(2)).Close())
	status, err := c.Status("Projekte/Köln", &imap.StatusOptions{NumMessages: true, UIDNext: true}).Wait()
	must("STATUS", err)
	if *status.NumMessages != 0 || status.UIDNext != 3 {
		t.Fatalf("status %+v", status)
	}
	must("UNSELECT", c.Unselect().Wait())
	must("RENAME", c.Rename("Projekte", "Alt", nil).Wait())
	must("DELETE", c.Delete("Alt/Köln").Wait())
	if err := c.Delete("Alt/Köln").Wait(); err == nil || !strings.Contains(err.Error(), "NONEXISTENT") {
		t.Fatalf("second DELETE: %v", err)
	}
	_, err = c.Namespace().Wait()
	must("NAMESPACE", err)
	must("LOGOUT", c.Logout().Wait())
}
