package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"roost/mta/dns/dnstest"
)

// screenshots names a directory that gets a picture of every page, for people to look at.
const screenshots = "ROOST_SCREENSHOTS"

// browser is a person at a browser.
type browser struct {
	t   *testing.T
	ctx context.Context
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	path := need(t, "chromium")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.IgnoreCertErrors, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true))
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	b := &browser{t, ctx}
	b.do(chromedp.EmulateViewport(1280, 800))
	return b
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatalf("%v\n%s", err, b.text("body"))
	}
}

// text is what a person sees of an element.
func (b *browser) text(css string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS(css)))
	if err != nil {
		b.t.Errorf("%s: %v", css, err)
	}
	return text
}

func (b *browser) open(url string) { b.t.Helper(); b.do(chromedp.Navigate(url)) }

// click follows a link or presses a button, and waits for the page that comes of it.
func (b *browser) click(css string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	resp, err := chromedp.RunResponse(ctx, chromedp.Click(chromedp.CSS(css)))
	if err != nil {
		b.t.Fatalf("click %s: %v\n%s", css, err, b.text("body"))
	}
	if resp.Status >= 400 {
		b.t.Fatalf("click %s: %d\n%s", css, resp.Status, b.text("body"))
	}
}

func (b *browser) fill(css, text string) {
	b.t.Helper()
	b.do(chromedp.SetValue(chromedp.CSS(css), text))
}

// sees fails unless an element comes to say something: at once, or in the next minute.
func (b *browser) sees(css string, pattern string) {
	b.t.Helper()
	want := regexp.MustCompile("(?s)" + pattern)
	var got string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if got = b.text(css); want.MatchString(got) {
			return
		}
		b.do(chromedp.Sleep(100 * time.Millisecond))
	}
	b.t.Fatalf("%s says %q, want %q", css, got, pattern)
}

// look takes the pictures of a page: wide, narrow, and dark. A page that is wider than a
// telephone is a failure with or without them.
func (b *browser) look(name string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(390, 800, chromedp.EmulateMobile))
	width, err := chromedp.Run(b.ctx, chromedp.Evaluate[int]("document.documentElement.scrollWidth"))
	if err != nil {
		b.t.Fatal(err)
	}
	if width > 390 {
		b.t.Errorf("%s is %d pixels wide on a telephone of 390", name, width)
	}
	b.shoot(name + "-390")
	b.do(chromedp.EmulateViewport(1280, 800))
	b.shoot(name + "-1280")
	b.scheme("dark")
	b.shoot(name + "-dark")
	b.scheme("light")
}

func (b *browser) scheme(value string) {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}},
		})
		return err
	}))
}

func (b *browser) shoot(name string) {
	b.t.Helper()
	dir := os.Getenv(screenshots)
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644)
	}
	if err != nil {
		b.t.Error(err)
	}
}

// attached is a message as strangers send them: formatted, with a picture and a file.
const attached = `From: "Carol Müller" <carol@example.com>
To: me@roost.localhost
Subject: The plan for Saturday
Date: Sat, 21 Nov 2026 10:00:00 +0100
Message-ID: <plan@example.com>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=mixed

--mixed
Content-Type: multipart/alternative; boundary=alt

--alt
Content-Type: text/plain; charset=utf-8

Hello,

the plan is attached. The way there: https://example.com/map?at=12

Carol
--alt
Content-Type: text/html; charset=utf-8

<html><head><title>no title</title><style>p { color: red }</style></head><body>
<h1>Hello</h1><p onclick="alert(1)">the <b>plan</b> is attached.</p>
<script>document.title = "owned"; parent.document.title = "owned"</script>
<img src="https://example.com/pixel.gif" alt="a map">
<table><tr><td>10:00</td><td>breakfast</td></tr><tr><td>12:00</td><td><a href="https://example.com/map">the lake</a></td></tr></table>
</body></html>
--alt--
--mixed
Content-Type: application/pdf; name="plan.pdf"
Content-Disposition: attachment; filename="plan.pdf"
Content-Transfer-Encoding: base64

JVBERi0xLjQKJSBub3QgcmVhbGx5Cg==
--mixed--
`

// One person sets a server up in a browser, sees a test come in, and reads mail.
func TestPanelInABrowser(t *testing.T) {
	b := startBrowser(t)
	w := startWorld(t)
	site := "https://" + w.addr["https"]

	// The link that the terminal shows opens the panel, once.
	link := regexp.MustCompile(`http://\S+/panel/enter\?token=\S+`).FindString(w.out.String())
	if link == "" {
		t.Fatalf("no link to the panel in\n%s", w.out.String())
	}
	b.open(link)
	b.sees("h1", "^Mail works$")
	b.look("overview-first")
	b.click("header form button")
	b.open(link)
	b.sees("[role=alert]", "used already")
	b.sees("h1", "Sign in")

	// The rest goes over https, by name and password.
	b.open(site + "/panel/settings")
	b.sees("h1", "Sign in")
	b.look("sign-in")
	b.fill("#name", "me@roost.localhost")
	b.fill("#password", "wrong")
	if err := chromedp.Do(b.ctx, chromedp.Submit(chromedp.CSS("#password"))); err != nil {
		t.Fatal(err)
	}
	b.sees("[role=alert]", "wrong login name or password")
	b.fill("#password", "roost")
	b.click("main button.main")
	b.sees("h1", "Settings")

	b.open(site + "/panel/domains")
	b.fill("#domain-add-domain", "example.org")
	b.click("main button.main")
	b.sees("h1", "example.org")
	b.sees(".note", "DNS records")
	b.sees("main", `v=spf1 mx ~all`)
	b.look("domain")
	b.click(".crumb a")
	b.look("domains")

	b.open(site + "/panel/people")
	b.fill("#account-add-address", "anna@example.org")
	b.click("main button.main")
	b.sees(".secret", "anna@example.org.*[a-z2-7]{4}-[a-z2-7]{4}")
	b.look("person-new")
	b.fill("#device-add-device", "Anna's phone")
	b.click("#connect ~ form button.main")
	b.sees(".note", "Anna's phone is added")
	b.sees(".secret", "anna@example.org.*(-[a-z2-7]{4}){5}")
	b.sees("section", "port "+port(w.addr["imaps"])+" with SSL/TLS; or port "+port(w.addr["imap"]))
	b.look("device-new")
	b.open(site + "/panel/people")
	b.fill("#alias-add-address", "office@example.org")
	b.fill("#alias-add-to", "anna@example.org me@roost.localhost")
	b.click("#aliases ~ form.fields button.main")
	b.sees("main", "office@example.org")
	b.look("people")
	b.click("#aliases ~ .cards button")
	b.sees("main", "Remove the alias office@example.org\\?")
	b.look("sure")

	// A test, and its journey to the end.
	b.open(site + "/panel/")
	b.click("#live form button")
	b.sees(".journey", "Received.*Checked.*Stored.*in Inbox.*Read.*not opened yet")
	b.look("overview-test")
	b.click("#live a.button")
	b.sees("h1", "A test from Roost")
	b.sees(".text", "came in through the SMTP port")
	b.look("letter-test")
	b.open(site + "/panel/")
	b.sees(".journey", "Read.*opened$")
	b.look("overview-read")

	// Mail from a stranger, with more in it than text.
	if err := deliver(w, "carol@example.com", "me@roost.localhost", attached); err != nil {
		t.Fatal(err)
	}
	b.open(site + "/panel/mail")
	b.sees(".letters", "Carol Müller.*The plan for Saturday")
	b.look("folder")
	b.click(".letters li:first-child a")
	b.sees("h1", "The plan for Saturday")
	b.sees(".text", "the plan is attached")
	b.sees("main", "plan.pdf")
	b.look("letter-text")
	b.click(".tabs a:last-child")
	if title, err := chromedp.Run(b.ctx, chromedp.Title()); err != nil || strings.Contains(title, "owned") {
		t.Errorf("the title is %q, %v", title, err)
	}
	b.look("letter-html")
	b.click("a.button[href*=header]")
	b.sees("#header", "Received: from")
	b.click("a.button[href*=trace]")
	b.sees("h1", "The plan for Saturday")
	b.sees("main", "Came in from mail.example.com \\[127.0.0.1\\]")
	b.look("story")
	b.click(".crumb a")
	b.sees("table", "Received")
	b.look("trace")

	b.open(site + "/panel/settings")
	b.look("settings")
	b.click("form[action$=check] button")
	b.sees("main", "All is well")
	b.look("check")
	b.open(site + "/panel/nowhere")
	b.look("trouble")
	b.open(site + "/")
	b.look("landing")

	// A person who is no administrator.
	b.open(site + "/panel/")
	b.click("header form button")
	b.fill("#name", "you")
	b.fill("#password", "roost")
	b.click("main button.main")
	b.look("overview-person")
	b.click("header nav li:nth-child(3) a")
	b.look("person-own")
}

// A person follows the link on the first screen of a new server, enters the records of
// the domain, and sees what was missing turn found.
func TestFirstDayInABrowser(t *testing.T) {
	b := startBrowser(t)
	w, err := newWorld(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	if err := ownData(w.dir); err != nil {
		t.Fatal(err)
	}
	zone := dnstest.New(t, "")
	err = w.startAs("serve", "--resolver", zone.Addr(), "--probe-mail", "off", "--probe-clock", "off", "--acme-directory", "https://127.0.0.1:9/")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the server said:\n%s", w.out.String())
		}
	}()
	b.open(regexp.MustCompile(`https://127\.0\.0\.1:\d+/setup\?token=[A-Z2-7]+`).FindString(w.waitFor(t, "setup\n")))
	b.look("setup")
	for id, text := range map[string]string{"#domain": "example.org", "#host": "mail.example.org", "#admin": "anna@example.org", "#password": "secret", "#again": "secret"} {
		b.fill(id, text)
	}
	b.click("main form button")
	b.sees("h1", "Roost is set up")
	b.look("setup-done")
	b.click("main p:last-child a")
	b.fill("#name", "anna@example.org")
	b.fill("#password", "secret")
	b.click("main button.main")
	b.sees("header", "My mail")

	site := "https://" + w.addr["https"] + "/panel/"
	b.open(site + "settings")
	b.fill("#host-set-addresses", "192.0.2.1 2001:db8::1")
	b.click("#host ~ form button.main")
	b.sees(".note", "Saved")
	b.look("settings-serve")
	b.open(site)
	b.sees("h1", "things need a hand")
	b.sees(".findings", "The DNS records of example.org were not looked at yet")
	b.look("overview-serve")
	b.open(site + "domains/example.org")
	b.click("a.button.main")
	b.sees(".note", "0 of \\d+ are as they should be")
	b.sees(".records", "MX.*missing")
	b.look("domain-missing")
	file := run(t, asRoostCommand("--data", w.dir, "dns", "example.org", "--zone"))
	zone.Add(file)
	b.click("a.button.main")
	b.sees(".note.good", "(\\d+) of (\\d+) are as they should be")
	b.sees(".records", "MX.*found")
	b.look("domain-found")
	b.open(site)
	b.sees("h1", "Mail works|One thing") // it has no certificate yet
}

// asRoostCommand is one command in a terminal.
func asRoostCommand(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asRoost+"=1")
	return cmd
}

// deliver brings a message to the SMTP port, as another server would.
func deliver(w *world, from, to, message string) error {
	var dialog bytes.Buffer
	fmt.Fprintf(&dialog, "S: 220 .*\nC: EHLO mail.example.com\n...\nS: 250 .*\nC: MAIL FROM:<%s>\nS: 250.*\nC: RCPT TO:<%s>\nS: 250.*\nC: DATA\nS: 354.*\n", from, to)
	for line := range strings.Lines(message) {
		fmt.Fprintf(&dialog, "C: %s\n", strings.TrimRight(line, "\r\n"))
	}
	dialog.WriteString("C: .\nS: 250.*\nC: QUIT\n")
	return talk(w.addr["smtp"], "localhost", false, nil, dialog.String())
}
