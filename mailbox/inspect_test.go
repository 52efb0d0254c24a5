package mailbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// TestMain lets the test binary be the process that looks at a damaged file, or
// one that is killed.
func TestMain(m *testing.M) {
	if known, err := asChild(); known {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if path := os.Getenv("ROOST_TEST_INSPECT"); path != "" {
		if err := Inspect(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func inspectElsewhere(t testing.TB) func(string) error {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return func(path string) error {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), "ROOST_TEST_INSPECT="+path)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return errors.New(string(out[:min(len(out), 300)]))
		}
		return nil
	}
}
