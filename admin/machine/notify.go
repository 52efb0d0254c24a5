package machine

import (
	"net"
	"os"
)

// What Notify can say; sd_notify(3) has more.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
)

// Notify tells the service manager that started this process how it goes, through the
// socket named by NOTIFY_SOCKET. Without one it does nothing: nobody asked.
func Notify(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	// An @ stands for the abstract namespace, which package net writes the same way.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte(state))
	return err
}
