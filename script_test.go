package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// story is what one script has made.
type story struct {
	world    *world
	internet *internet
}

// TestScript runs the stories in testdata/script: each tells of one person who
// does one thing across SMTP, IMAP and the command line. The commands beside
// testscript's own are
//
//	server [FLAG…]       starts `roost local` and waits until it is ready
//	appliance [FLAG…]    starts `roost serve` on the same addresses
//	stop, kill           end it by SIGTERM (within five seconds) or SIGKILL
//	talk SERVICE FILE    plays a dialog, see talk; submissions, imaps and https by TLS;
//	                     an appliance may show any certificate
//
// and $SMTP, $IMAPS … are the listeners' addresses, $CA the root certificate.
//
// Stories of servers on the internet have one of their own, see abroad_test.go.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			w, err := newWorld(filepath.Join(env.WorkDir, "data"))
			if err != nil {
				return err
			}
			env.Values["story"] = &story{world: w}
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
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %s", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"internet": func(ts *testscript.TestScript, neg bool, args []string) { openInternet(t, ts) },
			"zone": func(ts *testscript.TestScript, neg bool, args []string) {
				for _, file := range args {
					ts.Value("story").(*story).internet.zone.Add(ts.ReadFile(file))
				}
			},
			"nobodys": func(ts *testscript.TestScript, neg bool, args []string) { nobodys(ts, args[0]) },
			"serve":   func(ts *testscript.TestScript, neg bool, args []string) { serveAt(ts, args) },
			"trusted": func(ts *testscript.TestScript, neg bool, args []string) { waitTrusted(ts, args[0], args[1]) },
			"renewal": func(ts *testscript.TestScript, neg bool, args []string) { renewal(ts, args[0], args[1]) },
			"meet": func(ts *testscript.TestScript, neg bool, args []string) {
				addr, name, file := args[0], args[1], args[2]
				ts.Check(talk(addr, name, true, ts.Value("story").(*story).internet.roots, ts.ReadFile(file)))
			},
			"server": func(ts *testscript.TestScript, neg bool, args []string) {
				ts.Check(ts.Value("story").(*story).world.start(args...))
			},
			"appliance": func(ts *testscript.TestScript, neg bool, args []string) {
				w := ts.Value("story").(*story).world
				ts.Check(ownData(w.dir))
				ts.Check(w.startAs("serve", append([]string{"--resolver", "127.0.0.1:9", "--probe-mail", "off", "--probe-clock", "off"}, args...)...))
			},
			"stop": func(ts *testscript.TestScript, neg bool, args []string) {
				ts.Check(ts.Value("story").(*story).world.stop())
			},
			"kill": func(ts *testscript.TestScript, neg bool, args []string) {
				ts.Value("story").(*story).world.kill()
			},
			"talk": func(ts *testscript.TestScript, neg bool, args []string) {
				if len(args) != 2 {
					ts.Fatalf("usage: talk SERVICE FILE")
				}
				w, name := ts.Value("story").(*story).world, "localhost"
				roots, err := w.roots()
				if errors.Is(err, fs.ErrNotExist) {
					name, err = "", nil
				}
				ts.Check(err)
				ts.Check(talk(w.addr[args[0]], name, strings.HasSuffix(args[0], "s"), roots, ts.ReadFile(args[1])))
			},
		},
	})
}
