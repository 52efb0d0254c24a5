package imapd_test

import (
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"roost/imapd"
)

// TestImaplib runs Python's imaplib against the server.
func TestImaplib(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	h := newHouse(t, imapd.Limits{})
	_, port, _ := net.SplitHostPort(h.serve(t))
	me := h.person(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: h.tls.Certificates[0].Certificate[0]}
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), python, "testdata/imaplib_smoke.py", port, ca, string(me.Address), password).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
