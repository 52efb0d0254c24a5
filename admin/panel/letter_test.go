package panel_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"roost/mailbox"
)

// What an HTML part may still have in it when it is shown. Everything else is a failure,
// so that a payload nobody thought of fails too.
var (
	harmless = strings.Fields("html head meta title link body p br hr div span center blockquote pre h1 h2 h3 h4 h5 h6 " +
		"ul ol li dl dt dd b strong i em u s del ins small sub sup code kbd samp tt cite q abbr mark address a table caption thead tbody tfoot tr td th")
	attributes = strings.Fields("href rel target colspan rowspan dir charset name content class lang")
)

func harm(t *testing.T, name string, page []byte) {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type == html.CommentNode {
			t.Errorf("%s: a comment is left: %q", name, n.Data)
		}
		if n.Type != html.ElementNode {
			continue
		}
		if !slices.Contains(harmless, n.Data) || n.Namespace != "" {
			t.Errorf("%s: <%s %s> is left", name, n.Namespace, n.Data)
		}
		for _, a := range n.Attr {
			if !slices.Contains(attributes, a.Key) {
				t.Errorf("%s: <%s %s=%q>", name, n.Data, a.Key, a.Val)
			}
			link := strings.ToLower(a.Val)
			if a.Key == "href" && n.Data == "a" && !strings.HasPrefix(link, "http://") && !strings.HasPrefix(link, "https://") && !strings.HasPrefix(link, "mailto:") {
				t.Errorf("%s: a link to %q", name, a.Val)
			}
		}
		if n.Data == "a" && n.Attr != nil {
			at := map[string]string{}
			for _, a := range n.Attr {
				at[a.Key] = a.Val
			}
			if at["href"] != "" && !strings.Contains(at["rel"], "noreferrer") {
				t.Errorf("%s: a link that tells where it was followed: %v", name, at)
			}
		}
	}
	// The one style sheet and the two meta fields are the frame's own.
	for what, want := range map[string]int{"<link": 1, "<meta": 2} {
		if n := strings.Count(strings.ToLower(string(page)), what); n != want {
			t.Errorf("%s: %d times %s", name, n, what)
		}
	}
}

func htmlMail(body string) string {
	return "From: eve@evil.example\nSubject: hello\nMIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\n" +
		base64.StdEncoding.EncodeToString([]byte(body)) + "\n"
}

func TestHostileHTML(t *testing.T) {
	w := newWorld(t)
	anna := w.signIn("anna")
	for _, payload := range []string{
		`<script>alert(1)</script>`,
		`<img src=x onerror=alert(1) alt="words">`,
		`<svg onload=alert(1)><script>alert(1)</script></svg>`,
		`<svg><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>`,
		`<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">`,
		`<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>`,
		`<noscript><p title="</noscript><img src=x onerror=alert(1)>">`,
		`<a href="javascript:alert(1)">a</a><a href=" java&#09;script:alert(1)">b</a><a href="data:text/html,<script>alert(1)</script>">c</a><a href="vbscript:x">d</a><a href="//evil.example">e</a><a href="/panel/people">f</a><a href="?x">g</a>`,
		`<iframe src="https://evil.example"></iframe><iframe srcdoc="<script>alert(1)</script>"></iframe><object data=x></object><embed src=x><applet></applet>`,
		`<link rel=stylesheet href="https://evil.example/a.css"><style>@import url(https://evil.example); body { background: url(https://evil.example/b) }</style>`,
		`<p style="background:url(https://evil.example/x);position:fixed;inset:0">x</p><div class=note id=main>y</div>`,
		`<meta http-equiv=refresh content="0;url=https://evil.example"><base href="https://evil.example/">`,
		`<form action="https://evil.example"><input name=password><button formaction=x>Sign in</button><textarea></form><select><option>`,
		`<img src="https://evil.example/pixel.gif"><img srcset="https://evil.example/1 1x" alt="a"><video poster=https://evil.example src=x><audio src=x><picture><source srcset=x></picture><input type=image src=https://evil.example>`,
		`<table background="https://evil.example/t.gif"><tr><td background="https://evil.example/d.gif" width=1>x</td></tr></table><body background=https://evil.example onload=alert(1)>`,
		`<!--[if IE]><script>alert(1)</script><![endif]--><!-- > --><![CDATA[<script>alert(1)</script>]]>`,
		`<xss:x onclick=alert(1)>a</xss:x><custom-element onmouseover=alert(1)>b</custom-element><details open ontoggle=alert(1)>c</details>`,
		`<IMG """><SCRIPT>alert(1)</SCRIPT>"\>` + "<\x00script>alert(1)</\x00script><scr\x00ipt>",
		`</body></html><script>alert(1)</script><html><body onpageshow=alert(1)>`,
		`<a href="https://good.example" onclick="alert(1)" target="_top" ping="https://evil.example">x</a><area href=javascript:alert(1)><map name=x></map>`,
		`<img alt="&lt;script&gt;alert(1)&lt;/script&gt;"><img alt='"><script>alert(1)</script>'><img alt="$1${1}\1"><img alt="" dir=rtl><img dir=ltr alt="x" >`,
		`<title></title><script>alert(1)</script></title><textarea></textarea><script>alert(1)</script>`,
		`<plaintext><script>alert(1)</script>`,
		`<template><script>alert(1)</script></template><slot onslotchange=alert(1)></slot><dialog open>x</dialog><marquee onstart=alert(1)>`,
		strings.Repeat("<div>", 400) + "deep",
		"<p>" + strings.Repeat("&#x0;&#xD800;\xff\xfe", 1000),
	} {
		got := w.deliver("anna", htmlMail(payload))
		path := fmt.Sprintf("/panel/mail/1/%d", got.Placed[0].UID)
		outside := anna.get(path)
		wants(t, outside, http.StatusOK, "hello")
		sound(t, payload[:min(60, len(payload))], outside)
		if page := outside.Body.String(); !strings.Contains(page, `<iframe class="html" src="`+path+`/html/1" sandbox="allow-popups allow-popups-to-escape-sandbox"`) {
			t.Errorf("no frame for it: %s", page)
		}
		inside := anna.get(path + "/html/1")
		if inside.Code != http.StatusOK {
			t.Errorf("%.60s: %d", payload, inside.Code)
		}
		harm(t, fmt.Sprintf("%.60s", payload), inside.Body.Bytes())
		csp := inside.Header().Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "sandbox allow-popups", "form-action 'none'", "frame-ancestors 'self'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("policy of the frame: %s", csp)
			}
		}
		if strings.Contains(csp, "allow-scripts") || strings.Contains(csp, "allow-same-origin") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "img-src") {
			t.Errorf("policy of the frame: %s", csp)
		}
	}
	// What is meant to be read is.
	got := w.deliver("anna", htmlMail(`<h1>Plan</h1><p>at <b>ten</b> <img src=x alt="a &quot;map&quot; &lt;b&gt;"> <a href="https://good.example/?a=1&amp;b=2">there</a></p><table><tr><td colspan=2>x</td></tr></table>`))
	page := anna.get(fmt.Sprintf("/panel/mail/1/%d/html/1", got.Placed[0].UID))
	wants(t, page, http.StatusOK, "Plan at ten", `[a "map" <b>]`, "there")
	if text := page.Body.String(); !strings.Contains(text, `href="https://good.example/?a=1&amp;b=2"`) || !strings.Contains(text, `colspan="2"`) {
		t.Errorf("lost: %s", text)
	}
}

func FuzzHTML(f *testing.F) {
	f.Add(`<p onclick=x>a<script>b</script><a href="javascript:x">c`)
	f.Add(`<svg><style><img src=x onerror=y></style><math><mtext><table><mglyph>`)
	f.Add(`<img alt="x"><img alt='"><b'><noscript><p title="</noscript>">`)
	w := newWorld(f)
	anna := w.signIn("anna")
	f.Fuzz(func(t *testing.T, body string) {
		if _, err := html.Parse(strings.NewReader(body)); err != nil {
			t.Skip("deeper than the parser of this test goes")
		}
		w.t = t
		got := w.deliver("anna", htmlMail(body))
		harm(t, "fuzz", anna.get(fmt.Sprintf("/panel/mail/1/%d/html/1", got.Placed[0].UID)).Body.Bytes())
	})
}

// Everything in a header is a stranger's, too.
func TestHostileHeaders(t *testing.T) {
	w := newWorld(t)
	anna := w.signIn("anna")
	word := func(text string) string {
		return "=?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte(text)) + "?="
	}
	got := w.deliver("anna", "From: "+word(`"><script>alert(1)</script>`)+" <eve@evil.example>\n"+
		"To: "+word("a\u202emoc.knab\u202c")+" <anna@example.org>\nReply-To: <\"<b>x</b>\"@evil.example>\n"+
		"Subject: "+word("</title><script>alert(2)</script>\r\nX-Injected: yes\u202e")+"\nDate: <script>alert(3)</script>\n\n"+
		"<script>alert(4)</script> https://good.example/\"onmouseover=alert(5) javascript:alert(6)\n")
	path := fmt.Sprintf("/panel/mail/1/%d", got.Placed[0].UID)
	for _, at := range []string{path, path + "?header=1", "/panel/mail/1", "/panel/trace/" + got.ID.String()} {
		page := anna.get(at)
		sound2(t, at, page.Body.Bytes())
		if text := page.Body.String(); strings.Contains(text, "\u202e") || strings.Contains(text, "<script>alert") {
			t.Errorf("%s: %s", at, text)
		}
	}
	if page := anna.get(path).Body.String(); !strings.Contains(page, `href="https://good.example/"`) || strings.Contains(page, `href="javascript`) {
		t.Errorf("links: %s", page)
	}
}

// sound2 is sound for a page that links to the web, as a message's does.
func sound2(t *testing.T, name string, page []byte) {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	scripts := 0
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == "script" {
			scripts++
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				t.Errorf("%s: <%s %s=%q>", name, n.Data, a.Key, a.Val)
			}
		}
	}
	if scripts != 1 {
		t.Errorf("%s: %d scripts", name, scripts)
	}
}

func TestAttachments(t *testing.T) {
	w := newWorld(t)
	anna := w.signIn("anna")
	part := func(header, body string) string { return "--b\n" + header + "\n\n" + body + "\n" }
	got := w.deliver("anna", "Subject: files\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"+
		part("Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable", "Gr=FC=DFe")+
		part("Content-Type: text/html\nContent-Disposition: attachment; filename=\"page.html\"", "<script>alert(1)</script>")+
		part("Content-Type: image/svg+xml; name=\"../../etc/.passwd\"\nContent-Transfer-Encoding: base64", base64.StdEncoding.EncodeToString([]byte("<svg/>")))+
		part("Content-Type: application/pdf\nContent-Disposition: attachment; filename*=utf-8''%E2%80%AEfdp.exe%22%0d%0aX-Evil:%20yes", "x")+
		part("Content-Type: message/rfc822", "Subject: inner\nContent-Type: text/html\n\n<script>alert(2)</script>")+
		part("Content-Type: application/octet-stream\nContent-Disposition: attachment; filename=\""+strings.Repeat("long", 100)+".txt\"", "y")+
		part("Content-Type: text/calendar", "BEGIN:VCALENDAR")+
		"--b--\n")
	path := fmt.Sprintf("/panel/mail/1/%d", got.Placed[0].UID)
	page := anna.get(path)
	wants(t, page, http.StatusOK, "Grüße", "page.html text/html", "_.._etc_.passwd", "message-5.eml", "invitation.ics")
	sound(t, "attachments", page)
	for number, want := range map[string][2]string{
		"2":    {"attachment; filename=page.html", "<script>alert(1)</script>"},
		"3":    {"attachment; filename=_.._etc_.passwd", "<svg/>"},
		"4":    {`attachment; filename="fdp.exe_X-Evil_ yes"`, "x"},
		"5":    {"attachment; filename=message-5.eml", "Subject: inner\r\nContent-Type: text/html\r\n\r\n<script>alert(2)</script>"},
		"6":    {"attachment; filename*=utf-8''" + strings.Repeat("long", 15) + "%E2%80%A6" + strings.Repeat("long", 14)[1:] + ".txt", "y"},
		"7":    {"attachment; filename=invitation.ics", "BEGIN:VCALENDAR"},
		"/raw": {},
	} {
		if number == "/raw" {
			whole := anna.get(path + number)
			if whole.Code != 200 || !strings.HasPrefix(whole.Body.String(), "Subject: files\r\n") || whole.Header().Get("Content-Type") != "application/octet-stream" {
				t.Errorf("raw: %d %v", whole.Code, whole.Header())
			}
			continue
		}
		file := anna.get(path + "/part/" + number)
		h := file.Header()
		if file.Code != http.StatusOK || h.Get("Content-Disposition") != want[0] || file.Body.String() != want[1] {
			t.Errorf("part %s: %d %q\n%q, want\n%q %q", number, file.Code, h.Get("Content-Disposition"), file.Body, want[0], want[1])
		}
		if h.Get("Content-Type") != "application/octet-stream" || h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") || h.Get("X-Evil") != "" {
			t.Errorf("part %s: %v", number, h)
		}
	}
	// What is no HTML is not shown as such.
	for _, number := range []string{"1", "3", "4", "5"} {
		if got := anna.get(path + "/html/" + number); got.Code != http.StatusNotFound {
			t.Errorf("html/%s: %d", number, got.Code)
		}
	}
}

// Of several forms of a text the plain one is shown, and the other on request; files are
// listed wherever they hang.
func TestForms(t *testing.T) {
	w := newWorld(t)
	anna := w.signIn("anna")
	got := w.deliver("anna", `Subject: forms
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary=a

--a
Content-Type: text/plain

in plain words
--a
Content-Type: multipart/mixed; boundary=m

--m
Content-Type: text/html

<p>in <b>rich</b> words</p>
--m
Content-Type: application/pdf; name=beside.pdf

pdf
--m--
--a
Content-Type: text/calendar; name=invite.ics

BEGIN:VCALENDAR
--a--
`)
	path := fmt.Sprintf("/panel/mail/1/%d", got.Placed[0].UID)
	plain, rich := anna.get(path), anna.get(path+"?as=html")
	wants(t, plain, http.StatusOK, "in plain words", "Formatted", "beside.pdf", "invite.ics")
	wants(t, rich, http.StatusOK, "Formatted", "beside.pdf", "invite.ics", "Pictures and styles are left out")
	if strings.Contains(plain.Body.String(), "<iframe") || !strings.Contains(rich.Body.String(), path+"/html/2.1") || strings.Contains(seen(rich), "in plain words") {
		t.Errorf("plain:\n%s\nrich:\n%s", seen(plain), seen(rich))
	}
	wants(t, anna.get(path+"/html/2.1"), http.StatusOK, "in rich words")
	wants(t, anna.get(path+"/part/2.2"), http.StatusOK, "pdf")
}

// Messages that are none still have a page.
func TestOddMessages(t *testing.T) {
	w := newWorld(t)
	anna := w.signIn("anna")
	nested := strings.Repeat("Content-Type: multipart/mixed; boundary=b\n\n--b\n", 200) + "\nend\n"
	many := "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\nContent-Type: application/x\n\nx\n", 1000) + "--b--\n"
	for name, message := range map[string]string{
		"empty": "", "no header": "\nonly a body\n", "no body": "Subject: x\n\n", "binary": "Subject: \xff\xfe\x00\n\n\x00\x01\x02\xff",
		"nested": nested, "many": many, "long": "Subject: " + strings.Repeat("long ", 100_000) + "\n\n" + strings.Repeat("text ", 300_000),
		"broken base64":  "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n!!!!====zzz",
		"odd charset":    "Content-Type: text/plain; charset=\"x-nobody\"\n\nh\xe9llo",
		"odd encoding":   "Content-Type: text/html\nContent-Transfer-Encoding: x-nobody\n\n<p>hello",
		"no boundary":    "Content-Type: multipart/alternative\n\nhello",
		"empty multiple": "Content-Type: multipart/mixed; boundary=b\n\n--b--\n",
	} {
		got := w.deliver("anna", message)
		path := fmt.Sprintf("/panel/mail/1/%d", got.Placed[0].UID)
		for _, at := range []string{path, path + "?as=html&header=1", path + "/raw"} {
			page := anna.get(at)
			if page.Code != http.StatusOK || page.Body.Len() > 2<<20 && at != path+"/raw" {
				t.Errorf("%s %s: %d, %d bytes", name, at, page.Code, page.Body.Len())
			}
		}
	}
	wants(t, anna.get("/panel/mail/1"), http.StatusOK, "(no subject)", "(no sender)")
}

func TestFolderPages(t *testing.T) {
	w := newWorld(t)
	anna := w.signIn("anna")
	for i := range 120 {
		w.deliver("anna", fmt.Sprintf("From: x@far.example\nSubject: subject %03d\n\nHello\n", i))
	}
	var got []string
	path := "/panel/mail/1"
	for range 3 {
		page := anna.get(path).Body.String()
		for part := range strings.SplitSeq(page, `class="subject">subject `) {
			if len(part) > 3 && part[0] >= '0' && part[0] <= '9' {
				got = append(got, part[:3])
			}
		}
		_, older, found := strings.Cut(page, `href="?before=`)
		if !found {
			path = ""
			break
		}
		older, _, _ = strings.Cut(older, `"`)
		path = "/panel/mail/1?before=" + older
	}
	if len(got) != 120 || got[0] != "119" || got[119] != "000" || path != "" {
		t.Errorf("%d messages, from %v to %v, and then %q", len(got), got[:1], got[len(got)-1:], path)
	}
	// The newest has nothing newer, and leads to what is older.
	page := anna.get("/panel/mail/1/120").Body.String()
	if strings.Contains(page, ">Newer<") || !strings.Contains(page, `/panel/mail/1/119">Older<`) {
		t.Errorf("neighbours: %s", page)
	}
}

// Opening marks a message seen; nothing else that the viewer does changes anything.
func TestViewerChangesNothingButSeen(t *testing.T) {
	w := newWorld(t)
	anna := w.signIn("anna")
	got := w.deliver("anna", htmlMail("<p>hello"))
	state := func() mailbox.Entry {
		t.Helper()
		list, err := w.store.Entries(w.id("anna"), mailbox.InboxID, []mailbox.UID{got.Placed[0].UID})
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		return list[0]
	}
	before, path := state(), fmt.Sprintf("/panel/mail/1/%d", got.Placed[0].UID)
	for _, at := range []string{"/panel/mail/1", path + "/raw", path + "/part/1", path + "/html/1"} {
		anna.get(at)
	}
	anna.send(http.MethodHead, path, nil)
	anna.header = http.Header{"Sec-Purpose": {"prefetch"}}
	anna.get(path)
	anna.header = nil
	if after := state(); after != before {
		t.Errorf("%+v became %+v", before, after)
	}
	anna.get(path)
	after := state()
	if after.Flags != mailbox.Seen || after.ModSeq <= before.ModSeq {
		t.Errorf("opened, and now %+v", after)
	}
	anna.get(path)
	if again := state(); again != after {
		t.Errorf("opened again, and now %+v", again)
	}
}
