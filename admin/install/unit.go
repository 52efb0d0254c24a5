package install

import (
	"fmt"
	"path"
	"strings"
	"text/template"
)

// What an installed Roost is called and where it lies.
const (
	User        = "roost"
	Program     = "/usr/local/bin/roost"
	UnitFile    = "/etc/systemd/system/roost.service"
	DefaultData = "/var/lib/roost"
)

const unit = `# Written by roost install, which writes it anew at an update. Put changes of
# your own beside it: systemctl edit roost
[Unit]
Description=Roost mail server
Wants=network-online.target
After=network-online.target
# A door that another program holds may be free again tomorrow: never give up.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={{.Program}} --data {{.Data}} serve
Restart=always
RestartSec=5
# A damaged roost.db does not mend itself: see what it says, then roost rescue.
RestartPreventExitStatus=8
TimeoutStopSec=15
User={{.User}}
Group={{.User}}
UMask=0077
{{if .State}}StateDirectory={{.State}}
StateDirectoryMode=0700
{{else}}ReadWritePaths={{.Data}}
{{end}}LimitNOFILE=65536
# On a small machine, so that Roost cannot crowd out the rest; it keeps its own
# memory a tenth below this:
#MemoryMax=384M

# Ports below 1024 are all that it needs of root.
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes

ProtectSystem=strict
{{if not .AtHome}}ProtectHome=yes
{{end}}PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
`

// Unit is the systemd unit for a server with that data directory, an absolute path. A
// path that would need quoting in a unit is an error.
func Unit(data string) (string, error) {
	if !path.IsAbs(data) || data == "/" || path.Clean(data) != data || strings.ContainsFunc(data, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`%$"'\;`, r)
	}) {
		return "", fmt.Errorf("%q cannot be the data directory of a service: give a plain absolute path", data)
	}
	var state string
	if dir, below := strings.CutPrefix(data, "/var/lib/"); below {
		state = dir
	}
	atHome := false
	for _, home := range []string{"/home/", "/root/", "/run/user/"} {
		atHome = atHome || strings.HasPrefix(data, home)
	}
	var b strings.Builder
	err := template.Must(template.New("unit").Parse(unit)).Execute(&b, map[string]any{
		"Program": Program, "Data": data, "User": User, "State": state, "AtHome": atHome,
	})
	return b.String(), err
}
