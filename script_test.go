package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScript runs the stories in testdata/script: each tells of one person who
// does one thing across SMTP, IMAP and the command line. The commands beside
// testscript's own are
//
//	server [FLAG…]       starts `roost local` and waits until it is ready
//	stop, kill           end it by SIGTERM (within five seconds) or SIGKILL
//	talk SERVICE FILE    plays a dialog, see talk; submissions, imaps and https by TLS
//
// and $SMTP, $IMAPS … are the listeners' addresses, $CA the root certificate.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			w, err := newWorld(filepath.Join(env.WorkDir, "data"))
			if err != nil {
				return err
			}
			env.Values["world"] = w
			env.Setenv("ROOST_DATA", w.dir)
			env.Setenv("CA", filepath.Join(w.dir, "ca.pem"))
			for _, s := range services {
				env.Setenv(strings.ToUpper(s), w.addr[s])
			}
			env.Defer(func() {
				if w.cmd != nil && w.cmd.ProcessState == nil {
					w.kill()
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"server": func(ts *testscript.TestScript, neg bool, args []string) {
				ts.Check(ts.Value("world").(*world).start(args...))
			},
			"stop": func(ts *testscript.TestScript, neg bool, args []string) {
				ts.Check(ts.Value("world").(*world).stop())
			},
			"kill": func(ts *testscript.TestScript, neg bool, args []string) {
				ts.Value("world").(*world).kill()
			},
			"talk": func(ts *testscript.TestScript, neg bool, args []string) {
				if len(args) != 2 {
					ts.Fatalf("usage: talk SERVICE FILE")
				}
				w := ts.Value("world").(*world)
				roots, err := w.roots()
				ts.Check(err)
				ts.Check(talk(w.addr[args[0]], strings.HasSuffix(args[0], "s"), roots, ts.ReadFile(args[1])))
			},
		},
	})
}
