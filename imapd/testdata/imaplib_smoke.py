# A day's work with Python's imaplib: argv is port, CA file, login name, password.
import imaplib, re, ssl, sys, time

port, ca, user, password = sys.argv[1:]
box = imaplib.IMAP4("127.0.0.1", int(port))
box.starttls(ssl.create_default_context(cafile=ca))
box.login(user, password)


def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]


message = b"From: a@example.com\r\nSubject: =?utf-8?q?K=C3=B6ln?=\r\n\r\n" + b"text \x80\xff\r\n" * 5000
ok(box.create('"Alte Post"'))
for n in range(5):
    ok(box.append('"Alte Post"', r"(\Flagged)", imaplib.Time2Internaldate(time.time()), message))
assert ok(box.select('"Alte Post"')) == [b"5"]
assert ok(box.search(None, "FLAGGED", "SUBJECT", '"subject"')) == [b""]
box.literal = "köln".encode()
assert ok(box.search("UTF-8", "SUBJECT")) == [b"1 2 3 4 5"]
for n in range(1, 6):
    data = ok(box.fetch(str(n), "(UID FLAGS RFC822.SIZE BODY.PEEK[])"))
    assert data[0][1] == message, len(data[0][1])
    assert re.search(rb"UID %d FLAGS \(\\Flagged( \\Recent)?\) RFC822.SIZE %d" % (n, len(message)), data[0][0]), data[0][0]
assert b"\\Seen" in ok(box.store("1:2", "+FLAGS", r"(\Seen \Deleted)"))[0]
ok(box.uid("COPY", "3:4", "Archive"))
assert ok(box.expunge()) == [b"2", b"1"]
assert b"MESSAGES 2" in ok(box.status("Archive", "(MESSAGES)"))[0]
assert ok(box.uid("FETCH", "1:*", "(UID)")) == [b"1 (UID 3)", b"2 (UID 4)", b"3 (UID 5)"]
ok(box.close())
ok(box.rename('"Alte Post"', "Post"))
assert any(b'"Post"' in line for line in ok(box.list()))
ok(box.delete("Post"))
assert box.logout()[0] == "BYE"
