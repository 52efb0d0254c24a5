package mailbox

// dictionaryID is the number that frames made with the dictionary carry; those
// of format 1 carry none.
const dictionaryID = 0x526F6F31

// dictionary is what zstd knows before it reads a chunk: the phrases that mail is
// made of, the commonest last, where referring to them is cheapest. It is part
// of the format for good: a changed one gets another number beside this one.
// With it a corpus of small messages takes 0.38 of its size where it takes 0.43
// without, in the same time.
const dictionary = "" +
	`<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">` + "\r\n" +
	`<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN" "http://www.w3.org/TR/html4/loose.dtd">` + "\r\n" +
	`<html xmlns="http://www.w3.org/1999/xhtml"><head>` + "\r\n" + `<meta name="viewport" content="width=device-width, initial-scale=1.0">` + "\r\n" +
	`<META http-equiv="Content-Type" content="text/html; charset=iso-8859-1">` + "\r\n" + `<meta http-equiv="Content-Type" content="text/html; charset=utf-8">` + "\r\n" +
	`<title></title>` + "\r\n" + `<style type="text/css">body { margin: 0; padding: 0; background-color: #ffffff; font-family: Arial, Helvetica, sans-serif; font-size: 14px; line-height: 1.5; color: #333333; text-decoration: none; font-weight: bold; text-align: center; }</style>` + "\r\n" +
	`</head>` + "\r\n" + `<body bgcolor="#FFFFFF" text="#000000" link="#0000FF">` + "\r\n" +
	`<TABLE border=0 cellSpacing=0 cellPadding=0 width="100%" align=center><TBODY><TR><TD vAlign=top align=left><FONT face="Verdana, Arial, Helvetica, sans-serif" color=#000000 size=2>&nbsp;</FONT></TD></TR></TBODY></TABLE>` + "\r\n" +
	`<table width="600" border="0" cellspacing="0" cellpadding="0" align="center"><tr><td width="100%" height="20" valign="top" style="font-family: Arial, sans-serif; font-size: 12px; color: #666666; padding: 10px;"><a href="https://www.` + `" target="_blank" style="color: #0066cc; text-decoration: none;"><img src="https://` + `.gif" width="1" height="1" border="0" alt="" style="display:block"></a></td></tr></table>` + "\r\n" +
	`<div style=3D"font-family: Arial, sans-serif; font-size: 12pt;"><p class=3D"MsoNormal"><span style=3D"font-size:11.0pt;color:#000000">&nbsp;<o:p></o:p></span></p></div><br>=20` + "\r\n" +
	`<p><b><i><center><strong><font face="Arial" size="2" color="#FF0000">Click here</font></strong></center></i></b></p><br><br>` + "\r\n" +
	`</div></td></tr></tbody></table></center></font></body>` + "\r\n" + `</html>` + "\r\n" +
	"If you no longer wish to receive these emails, please click here to unsubscribe. This message was sent to you because you are a member of the mailing list. Please do not reply to this message. All rights reserved. Copyright\r\n" +
	"This is a multi-part message in MIME format.\r\n\r\n-----Original Message-----\r\n" +
	"Hello,\r\n\r\nThank you for your message. I would like to know if there is anything that you think we could do about this. You can find more information about the problem on the web site. Please let me know what you think, and have a look at the other one which has been available for some time now. This is the first time that we have had the same problem with it, but they will not be able to make it work because of those people who should have been there.\r\n\r\nBest regards,\r\n\r\n" +
	"On Mon, 1 Jan 2001 at 10:00, wrote:\r\n> \r\n> > \r\n-- \r\n" +
	"_______________________________________________\r\nmailing list\r\nhttp://lists.example.org/mailman/listinfo/\r\n\r\n" +
	"-----BEGIN PGP SIGNATURE-----\r\nVersion: GnuPG v1\r\n\r\n-----END PGP SIGNATURE-----\r\n" +
	"Auto-Submitted: auto-generated\r\nDisposition-Notification-To: \r\nX-MSMail-Priority: Normal\r\nX-Priority: 3 (Normal)\r\nX-MimeOLE: Produced By Microsoft MimeOLE V6.00.2600.0000\r\nX-Mailer: Microsoft Outlook Express 6.00.2800.1106\r\nUser-Agent: Mutt/1.5.20 (2009-06-14)\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:102.0) Gecko/20100101 Thunderbird/102.0\r\nX-Mailer: Apple Mail (2.3654)\r\n" +
	"X-Spam-Status: No, score=-2.0 required=5.0 tests=BAYES_00,DKIM_SIGNED,DKIM_VALID,DKIM_VALID_AU,HTML_MESSAGE,SPF_PASS autolearn=ham version=3.4.2\r\nX-Spam-Level: \r\nX-Spam-Checker-Version: SpamAssassin 3.4.2\r\nX-Virus-Scanned: amavisd-new at \r\nX-Originating-IP: [10.0.0.1]\r\nX-Received: by 2002:a05:6000:0:b0: with SMTP id \r\nX-Google-Smtp-Source: \r\nX-Gm-Message-State: \r\n" +
	"ARC-Seal: i=1; a=rsa-sha256; t=16; cv=none; d=google.com; s=arc-20160816; b=\r\nARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=google.com; s=arc-20160816; h=to:subject:message-id:date:from:mime-version:dkim-signature; bh=\r\nARC-Authentication-Results: i=1; mx.google.com; dkim=pass header.i=@ header.s= header.b=; spf=pass (google.com: domain of designates as permitted sender) smtp.mailfrom=; dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=\r\n" +
	"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=gmail.com; s=20230601; t=17; x=17; darn=\r\n h=to:subject:message-id:date:from:in-reply-to:references:mime-version:content-type:list-unsubscribe:reply-to:from:to:cc:subject:date:message-id:reply-to; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=\r\nFeedback-ID: \r\nReceived-SPF: pass\r\n" +
	"Precedence: bulk\r\nPrecedence: list\r\nErrors-To: \r\nSender: owner-\r\nX-Mailman-Version: 2.0.11\r\nX-BeenThere: \r\nList-Id: <\r\nList-Help: <mailto:\r\nList-Post: <mailto:\r\nList-Subscribe: <https://\r\nList-Archive: <http://\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nList-Unsubscribe: <http://lists.\r\n,\r\n\t<mailto:-request@?subject=unsubscribe>\r\n,\r\n    <mailto:-request@?subject=subscribe>\r\n" +
	"Authentication-Results: mx;\r\n\tspf=pass smtp.mailfrom=;\r\n\tdkim=pass header.d=;\r\n\tdmarc=pass header.from=\r\nDelivered-To: \r\nReturn-Path: <>\r\n" +
	"Content-Disposition: attachment; filename=\"\r\nContent-Disposition: inline\r\nContent-Type: application/octet-stream; name=\"\r\nContent-Type: application/pdf; name=\".pdf\"\r\nContent-Type: image/jpeg; name=\"image001.jpg\"\r\nContent-Type: image/png; name=\".png\"\r\nContent-ID: <\r\n" +
	"Content-Type: multipart/mixed;\r\n\tboundary=\"----=_NextPart_000_0000_01C\r\nContent-Type: multipart/related; boundary=\"\r\nContent-Type: multipart/signed; protocol=\"application/pgp-signature\"; micalg=pgp-sha1;\r\nContent-Type: multipart/alternative; boundary=\"000000000000\r\n" +
	"Content-Transfer-Encoding: base64\r\nContent-Type: text/html; charset=\"iso-8859-1\"\r\nContent-Type: text/html; charset=\"UTF-8\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nContent-Type: text/plain; charset=UTF-8; format=flowed\r\nContent-Type: text/plain; charset=\"us-ascii\"\r\nContent-Transfer-Encoding: 8bit\r\nContent-Language: en-US\r\n" +
	"Received: from localhost (localhost [127.0.0.1])\r\n\tby localhost (Postfix) with ESMTP id \r\n\tfor <; Mon,  1 Jan 2002 10:00:00 -0400 (EDT)\r\nReceived: from mail.example.com (mail.example.com [192.168.1.1]) by mx.example.com (8.11.6/8.11.6) with SMTP id g7 for <; Tue, 1 Aug 2002 11:00:00 +0100\r\n" +
	"Received: by mail.example.com (Postfix, from userid 500)\r\n\tid ; Wed, 1 Sep 2010 12:00:00 +0200 (CEST)\r\nReceived: from unknown (HELO ) ( by with SMTP; Thu, 1 Oct 2009 13:00:00 -0700 (PDT)\r\n" +
	"Received: from mail-wr1-f41.google.com (mail-wr1-f41.google.com [209.85.221.41])\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\r\n\t key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256)\r\n\t(No client certificate requested)\r\n\tby with ESMTPS id \r\n\tfor <; Fri, 1 Nov 2024 14:00:00 +0000 (UTC)\r\n" +
	"Sat, Sun, Feb 2003 Mar 2004 Apr May Jun Jul 2025 Dec 2026\r\nReply-To: \r\nCc: \r\nIn-Reply-To: <\r\nReferences: <\r\nMIME-Version: 1.0\r\nMime-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\nMessage-Id: <\r\nMessage-ID: <@mail.gmail.com>\r\nDate: Mon, \r\nFrom: \"\r\nTo: undisclosed-recipients:;\r\nTo: \r\nSubject: Re: [\r\n"
