// Package admin is the office: everything that an owner can do to Roost, written down
// once in the list of operations. The command line, the API and the panel are three faces
// of that list; each finds there the name, the arguments, the help, who may ask, and the
// function.
//
// Operations edit rows in the store, and the engines read them at the next use. The
// office refuses to call an engine, to hold a setting anywhere but in the store, and to
// tell strangers more than the DNS does.
package admin

// Ops is the list of operations, those about one noun beside each other. Adding one takes
// an entry here and its function.
func Ops() []Op {
	return []Op{
		op("domain add", "Receive mail for a domain; makes its DKIM keys.", Administrator, domainAdd).founds(),
		op("domain set", "Set where a domain's mail to nobody goes, and what begins a subaddress.", Administrator, domainSet),
		op("domain disable", "Put off a domain's mail, and let nobody in it log in.", Administrator, domainDisable),
		op("domain enable", "Take a domain's mail again, and let its people log in.", Administrator, domainEnable),
		op("domain list", "List the domains.", Administrator, domainList),
		op("domain remove", "Receive no more mail for a domain. Accounts and aliases in it must be gone.", Administrator, domainRemove),

		op("account add", "Make an account with its mailboxes.", Administrator, accountAdd),
		op("account list", "List the accounts and what they hold.", Administrator, accountList),
		op("account promote", "Make an account an administrator's.", Administrator, accountPromote),
		op("account demote", "Make an account no administrator's any more. One always stays.", Administrator, accountDemote),
		op("account disable", "Put off an account's mail, and let nobody log in to it.", Administrator, accountDisable),
		op("account enable", "Take an account's mail again, and let its owner log in.", Administrator, accountEnable),
		op("account hide", "Hide IMAP capabilities from the programs of an account.", Administrator, accountHide),
		op("account restrict", "Let mail programs log in to an account with app passwords only; its own opens the panel.", Self, accountRestrict),
		op("account relax", "Let an account's own password open its mail, too.", Self, accountRelax),
		op("account password", "Give an account a new password.", Self, accountPassword),
		op("account remove", "Remove an account and all its mail.", Administrator, accountRemove),

		op("device add", "Make an app password for one device or program; it is shown once.", Self, deviceAdd),
		op("device list", "List the devices of an account.", Self, deviceList),
		op("device remove", "Take a device's app password away.", Self, deviceRemove),
		op("device unfreeze", "Let a device send again that suddenly wanted to send much.", Self, deviceUnfreeze),

		op("sending show", "Show how much an account may send, has sent, and which of its devices are frozen.", Self, sendingShow),
		op("sending set", "Set how much may be sent in 24 hours, by an account or by all.", Administrator, sendingSet),

		op("reception show", "Show how much one address may bring in an hour.", Administrator, receptionShow),
		op("reception set", "Set how much one address may bring in an hour.", Administrator, receptionSet),

		op("alias add", "Make an address whose mail goes to others.", Administrator, aliasAdd),
		op("alias set", "Give an alias other targets, or another last day.", Administrator, aliasSet),
		op("alias list", "List the aliases.", Administrator, aliasList),
		op("alias remove", "Remove an alias.", Administrator, aliasRemove),

		op("allow", "Let mail from a sender in, though its domain wants it refused, nothing confirms it, or it looks like junk.", Self, allow),
		op("block", "Refuse mail from a sender.", Self, block),
		op("rule list", "List what was said about senders by \"allow\" and \"block\".", Self, ruleList),
		op("rule remove", "Forget what was said about a sender.", Self, ruleRemove),

		op("blocklist show", "Show which DNS block lists are asked about mail from strangers.", Administrator, blockListShow),
		op("blocklist set", "Set which DNS block lists are asked, and what becomes of mail from who is on one.", Administrator, blockListSet),
		op("blocklist check", "Look whether the block lists that are asked work.", Administrator, blockListCheck),

		op("lockout list", "List the addresses that may not log in for a time, as too many wrong passwords came from them.", Administrator, lockoutList),
		op("lockout lift", "Let such an address log in again.", Administrator, lockoutLift),

		op("host show", "Show the name and the public addresses of this server.", Administrator, hostShow),
		op("host set", "Set the name and the public addresses of this server.", Administrator, hostSet).founds(),

		op("setup", "Make the domain, the name of the server and the first administrator in one go.", Administrator, setup).founds(),

		op("host check", "Check the reverse names of this server, outbound port 25 and block lists.", Administrator, hostCheck),

		op("relay show", "Show the smart host that mail to others goes through.", Administrator, relayShow),
		op("relay set", "Send mail to others through a smart host. The DNS records that domains need follow.", Administrator, relaySet),
		op("relay remove", "Send mail to others directly again.", Administrator, relayRemove),

		op("certificate list", "List the certificates, until when they are good, and what keeps them from being renewed.", Administrator, certificateList),
		op("certificate retry", "Ask for missing certificates, and for renewals, now.", Administrator, certificateRetry),

		op("queue list", "List the messages that wait to be sent.", Administrator, queueList),
		op("queue show", "Show a waiting message: its recipients, the last replies, what happened so far.", Administrator, queueShow),
		op("queue retry", "Try a waiting message again now.", Administrator, queueRetry),
		op("queue drop", "Remove a waiting message; nobody is told.", Administrator, queueDrop),

		op("undelete list", "List the expunged messages of an account that can be had back.", Self, undeleteList),
		op("undelete restore", "Put expunged messages back into their mailboxes.", Self, undeleteRestore),

		op("retention show", "Show how long expunged messages, junk and trash are kept.", Administrator, retentionShow),
		op("retention set", "Set how long expunged messages, junk and trash are kept.", Administrator, retentionSet),

		op("dns", "Show the DNS records that a domain needs, and why; check them with --check.", Administrator, dns),
		op("trace", "Show what became of mail, and why some was refused: the newest lines of the journal.", Administrator, trace),
		op("status", "Show accounts, what waits to be sent, and the open doors.", Administrator, status),
		op("test", "Send a test message to an account, through this server's own SMTP port.", Self, test),
		op("check", "Check the whole store for damage.", Administrator, check),
		op("version", "Show the version of Roost.", Anyone, version).storeless(),
	}
}

// About says what the operations of a noun are about.
func About(noun string) string {
	switch noun {
	case "domain":
		return "Domains that this server receives mail for."
	case "account":
		return "People (and machines) with mailboxes."
	case "device":
		return "App passwords: one secret for each device or program."
	case "sending":
		return "How much accounts may send to other domains."
	case "reception":
		return "How much other servers may bring."
	case "alias":
		return "Addresses whose mail goes to accounts."
	case "rule":
		return "What was said about mail from some senders."
	case "blocklist":
		return "DNS block lists that are asked about mail from strangers."
	case "lockout":
		return "Addresses that may not log in for a time."
	case "host":
		return "The name and the addresses of this server."
	case "relay":
		return "The smart host that mail to others goes through."
	case "certificate":
		return "The certificates that connections are encrypted with."
	case "undelete":
		return "Expunged messages, which can be had back for some days."
	case "retention":
		return "How long messages are kept that nobody wants."
	case "queue":
		return "Messages that wait to be sent."
	}
	return ""
}
