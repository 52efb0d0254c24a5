package cli_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"roost/admin/cli"
)

// A process that has become somebody else cannot go back, so it is one of its own.
func TestMain(m *testing.M) {
	if dir := os.Getenv("ROOST_TEST_BECOME"); dir != "" {
		owner, err := cli.OwnerOf(dir)
		if err == nil {
			err = owner.Become()
		}
		groups, _ := os.Getgroups()
		fmt.Println(os.Getuid(), os.Geteuid(), os.Getgid(), os.Getegid(), groups, err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestRootBecomesTheOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	dir := t.TempDir()
	for _, test := range []struct {
		uid, gid int
		want     string
	}{
		{0, 0, "0 0 0 0 "},
		{12345, 23456, "12345 12345 23456 23456 [23456] <nil>"},
		{12345, 0, "0 0 0 0 "}, // nobody of that number, and root's group
	} {
		if err := os.Chown(dir, test.uid, test.gid); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "ROOST_TEST_BECOME="+dir)
		out, err := cmd.Output()
		if err != nil || !strings.HasPrefix(string(out), test.want) {
			t.Errorf("owner %d:%d: %s, %v; want %s", test.uid, test.gid, out, err, test.want)
		}
		refused := strings.Contains(string(out), "chgrp")
		if refused != (test.uid != 0 && test.gid == 0) {
			t.Errorf("owner %d:%d: %s", test.uid, test.gid, out)
		}
	}
	if err := os.Chown(dir, 0, 0); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, dir + "/missing"} {
		if err := cli.NotAsRoot(d); err == nil || !strings.Contains(err.Error(), "chown") {
			t.Errorf("root may serve %s: %v", d, err)
		}
	}
	if err := os.Chown(dir, 12345, 23456); err != nil {
		t.Fatal(err)
	}
	if err := cli.NotAsRoot(dir); err != nil {
		t.Error(err)
	}
}
