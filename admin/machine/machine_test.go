package machine_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"roost/admin/machine"
)

func addresses(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

func TestSort(t *testing.T) {
	got := machine.Sort(addresses("127.0.0.1", "10.1.2.3", "203.0.113.7", "100.64.0.9", "169.254.1.1", "::1",
		"fe80::1%eth0", "fd00::1", "2001:db8::7", "::ffff:198.51.100.1", "224.0.0.1", "64:ff9b::1", "0.0.0.0"))
	want := machine.Addresses{
		Public:  addresses("203.0.113.7", "2001:db8::7", "198.51.100.1"),
		Private: addresses("10.1.2.3", "100.64.0.9", "fd00::1", "64:ff9b::1"),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	if v6 := machine.Of(got.Public, false); !reflect.DeepEqual(v6, addresses("2001:db8::7")) {
		t.Errorf("of IPv6: %v", v6)
	}
}

func TestLocalAddresses(t *testing.T) {
	got, err := machine.LocalAddresses()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range append(got.Public, got.Private...) {
		if a.IsLoopback() || a.IsLinkLocalUnicast() || a.Zone() != "" {
			t.Errorf("%v reaches nobody", a)
		}
	}
}

func TestHolder(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).AddrPort().Port()
	got := machine.Holder(os.DirFS("/proc"), port)
	if got.PID != os.Getpid() || !strings.Contains(got.String(), got.Name) {
		t.Errorf("%+v", got)
	}
	l.Close()
	if got := machine.Holder(os.DirFS("/proc"), port); got.PID != 0 {
		t.Errorf("after the close: %+v", got)
	}
	if got := machine.Holder(fstest.MapFS{}, 25).String(); got != "another program" {
		t.Errorf("without /proc: %s", got)
	}
}

func TestHolderNamesTheUnit(t *testing.T) {
	proc := fstest.MapFS{
		"self/net/tcp": {Data: []byte("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
			"   0: 00000000:0019 0100007F:1234 01 00000000:00000000 00:00000000 00000000     0        0 111 1\n" + // not a listener
			"   1: garbage\n")},
		"self/net/tcp6": {Data: []byte("   0: 00000000000000000000000000000000:0019 0:0 0A 00000000:00000000 00:00000000 00000000     0        0 222 1\n")},
		"812/fd/4":      {Data: []byte("socket:[222]"), Mode: os.ModeSymlink},
		"812/comm":      {Data: []byte("exim4\n")},
		"812/cgroup":    {Data: []byte("0::/system.slice/exim4.service\n")},
		"813/fd/4":      {Data: []byte("socket:[111]"), Mode: os.ModeSymlink},
	}
	want := machine.Program{Name: "exim4", PID: 812, Unit: "exim4.service"}
	if got := machine.Holder(proc, 25); got != want {
		t.Errorf("%+v", got)
	}
}

func TestMemoryLimit(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"none": {nil, 0},
		"unlimited": {map[string]string{"proc/self/cgroup": "0::/system.slice/roost.service\n",
			"sys/fs/cgroup/system.slice/roost.service/memory.max": "max\n"}, 0},
		"a unit": {map[string]string{"proc/self/cgroup": "0::/system.slice/roost.service\n",
			"sys/fs/cgroup/system.slice/roost.service/memory.max": "402653184\n"}, 402653184},
		"a slice": {map[string]string{"proc/self/cgroup": "0::/system.slice/roost.service\n",
			"sys/fs/cgroup/system.slice/roost.service/memory.max": "402653184\n", "sys/fs/cgroup/system.slice/memory.high": "1000000\n"}, 1000000},
		"a container": {map[string]string{"proc/self/cgroup": "0::/../host/path\n", "sys/fs/cgroup/memory.max": "5000\n"}, 5000},
		"version 1": {map[string]string{"proc/self/cgroup": "12:cpu,cpuacct:/a\n4:memory:/docker/abc\n0::/x\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "7000\n"}, 7000},
		"version 1 without": {map[string]string{"proc/self/cgroup": "4:memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		"garbage": {map[string]string{"proc/self/cgroup": "\n:\n0::\n4:memory\n", "sys/fs/cgroup/memory.max": "-5\n"}, 0},
	} {
		root := fstest.MapFS{}
		for file, text := range test.files {
			root[file] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := machine.MemoryLimit(root); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

func TestNotify(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := machine.Notify(machine.Ready); err != nil {
		t.Error(err)
	}
	for _, name := range []string{filepath.Join(t.TempDir(), "n"), "@roost-test-" + fmt.Sprint(os.Getpid())} {
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		t.Setenv("NOTIFY_SOCKET", name)
		if err := machine.Notify(machine.Ready); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		if n, err := l.Read(b); err != nil || string(b[:n]) != "READY=1" {
			t.Errorf("%q, %v", b[:n], err)
		}
	}
}

// far is a network in which a mail server greets with a line, or not at all.
func far(greeting string) machine.Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if greeting == "refused" {
			return nil, errors.New("connection refused")
		}
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			if network == "tcp" && greeting != "" {
				fmt.Fprint(server, greeting)
			}
			b := make([]byte, 100)
			for {
				if _, err := server.Read(b); err != nil {
					return
				}
			}
		}()
		return client, nil
	}
}

func TestLook(t *testing.T) {
	for greeting, want := range map[string]string{
		"220 mx.example ESMTP\r\n": "",
		"421 not today\r\n":        "does not greet",
		"refused":                  "refused",
		"":                         "said nothing",
		strings.Repeat("2", 600):   "said nothing",
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			f := machine.Look(t.Context(), machine.Questions{
				Addresses: func() (machine.Addresses, error) {
					return machine.Sort(addresses("203.0.113.7", "2001:db8::7")), nil
				},
				Names: func(ctx context.Context, a netip.Addr) ([]string, error) {
					if a.Is6() {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return []string{"mail.example.org"}, nil
				},
				Dial: far(greeting), Mail: "mx.example:25", Clock: "clock.example:123",
			})
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("%.20q: took %v", greeting, took)
			}
			if err := fmt.Sprint(f.Mail.Err); (want == "") != (f.Mail.Err == nil) || !strings.Contains(err, want) {
				t.Errorf("%.20q: %v", greeting, err)
			}
			if len(f.Names) != 2 || f.Names[0].Names[0] != "mail.example.org" || f.Names[1].Err == nil || f.Clock.Err == nil {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestLookAsksNobody(t *testing.T) {
	if f := machine.Look(t.Context(), machine.Questions{}); !reflect.DeepEqual(f, machine.Facts{}) {
		t.Errorf("%+v", f)
	}
}
