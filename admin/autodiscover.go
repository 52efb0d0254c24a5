package admin

import (
	"encoding/xml"
	"io"
	"net"
	"net/http"
	"strings"

	"roost/mailbox"
)

const (
	// autodiscoverPath is where Outlook asks, in any mix of cases.
	autodiscoverPath = "/autodiscover/autodiscover.xml"
	maxAutodiscover  = 64 << 10

	outlookSchema = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
	// Error codes of the protocol: the request makes no sense, and there is nobody to answer
	// for that address in that schema.
	badRequest = "600"
	noProvider = "601"
)

// The request and the response of Outlook's autodiscover in its first form, plain XML
// ([MS-OXDSCLI] sections 2.2.3 and 2.2.4), as far as IMAP and SMTP need it.
type discoverRequest struct {
	XMLName xml.Name `xml:"Autodiscover"`
	Address string   `xml:"Request>EMailAddress"`
	Schema  string   `xml:"Request>AcceptableResponseSchema"`
}

type discoverResponse struct {
	XMLName  xml.Name `xml:"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006 Autodiscover"`
	Response struct {
		XMLName xml.Name         // another namespace for settings than for an error
		Account *discoverAccount `xml:"Account,omitempty"`
		Error   *discoverError   `xml:"Error,omitempty"`
	}
}

type discoverAccount struct {
	AccountType string
	Action      string
	Protocol    []discoverProtocol
}

type discoverProtocol struct {
	Type           string
	Server         string
	Port           string
	DomainRequired string
	LoginName      string
	SPA            string
	SSL            string
	Encryption     string
	AuthRequired   string
	UsePOPAuth     string `xml:",omitempty"`
	SMTPLast       string `xml:",omitempty"`
}

type discoverError struct {
	ErrorCode string
	Message   string
}

// autodiscover answers without asking who it is: it tells no more than the DNS does, and
// nothing about who has an account.
func (o *Office) autodiscover(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		// A client that found no POST over TLS looks for the place with a plain GET.
		if r.Method == http.MethodGet && r.TLS == nil {
			if place := o.secure(autodiscoverPath); place != "" {
				http.Redirect(w, r, place, http.StatusFound)
				return
			}
		}
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "autodiscover takes POST", http.StatusMethodNotAllowed)
		return
	}
	var in discoverRequest
	var out discoverResponse
	out.Response.XMLName = xml.Name{Space: "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006", Local: "Response"}
	// encoding/xml knows no entities but the five of XML itself, and fetches nothing.
	err := xml.NewDecoder(http.MaxBytesReader(w, r.Body, maxAutodiscover)).Decode(&in)
	addr, badAddress := mailbox.ParseAddress(strings.TrimSpace(in.Address))
	switch {
	case err != nil || badAddress != nil:
		out.Response.Error = &discoverError{badRequest, "Invalid Request"}
	case !o.hosts(addr) || strings.TrimSpace(in.Schema) != "" && strings.TrimSpace(in.Schema) != outlookSchema:
		out.Response.Error = &discoverError{noProvider, "Provider is not available"}
	default:
		out.Response.XMLName.Space = outlookSchema
		out.Response.Account = o.discovered(string(addr))
	}
	body, err := xml.MarshalIndent(out, "", "  ")
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	_, _ = io.WriteString(w, xml.Header+string(body)+"\n")
}

func (o *Office) hosts(addr mailbox.Address) bool {
	_, ours := o.hosted(addr.Domain())
	return ours
}

// discovered lists the best way to read and the best way to send: Outlook takes one of each.
func (o *Office) discovered(login string) *discoverAccount {
	a := &discoverAccount{AccountType: "email", Action: "settings"}
	listed := map[string]bool{}
	for _, s := range o.services() {
		if listed[s.Kind] {
			continue
		}
		listed[s.Kind] = true
		p := discoverProtocol{
			Type: s.Kind, Server: o.Hostname(), Port: s.Port, DomainRequired: "off", LoginName: login,
			SPA: "off", SSL: "on", Encryption: "TLS", AuthRequired: "on",
		}
		if s.TLS {
			p.Encryption = "SSL" // their word for TLS from the first octet
		}
		if s.Kind == "SMTP" {
			p.UsePOPAuth, p.SMTPLast = "off", "off"
		}
		a.Protocol = append(a.Protocol, p)
	}
	return a
}

// secure is a place on this server over https; empty when there is no such door.
func (o *Office) secure(path string) string {
	for _, l := range o.Listeners {
		if _, port, err := net.SplitHostPort(l.Address); err == nil && l.Name == "https" {
			host := o.Hostname()
			if port != "443" {
				host = net.JoinHostPort(host, port)
			}
			return "https://" + host + path
		}
	}
	return ""
}
