package signature

// common are the trigrams that at least half of the messages of the corpora have,
// one behind the other: names of header fields, dates, the commonest words. They
// would take up a third of all signatures and rule out next to nothing.
const common = "" +
	"\tby\tfo\n\r\n\n--\nco\nda\nde\nfr\nin\nli\nme\nmi\npr\nre\nse\nsu\nth\nto\nx-\r\n\n\r\n\r\r\n-\r\n>\r\nh\r\nt \r\n     <" +
	"  b (8 ([ (e (f (i (l (p (s +0 -0 1. 10 2. 20 <2 <h <j <m [1 a  ac al an ar as at au" +
	" ba be bo bu by ca ch cl co de di do en es fa fi fo fr ha he ho ht i  id im in is it" +
	" li lo ma me mi mo ne no of on pa pe po pr re sa sc se sm so sp st su ta te th to tr" +
	" un us ve wa we wh wi wo yo(8.(fe(is(lo(po(si)\tb)\tf)\nr)  ) b) w); +01,  , 2, a, s-- " +
	"-04-07-5.-dr-en-he-id-ma-or-pa-po-re-su-to-tr-ty-un-ve.\r\n.0\n.0).0..10.11.12.16.1].6)" +
	".6/.9..co.ne.or.sl/8./li/ma/pl0\nc0\nr0\nx0 (0)\t0.00.10.200\n00 00000201002 0200400701.0" +
	"1.21.610 10011.1271])2 12.120027.3.14.14005.96) 6/87.07008.19.0:\r\n: 1: 2: <: a: b: f" +
	": g: h: m: n: r: s: t: y://;  ; c<20<ma=he=su=un>\nd>\nl>\nr>\nt>\nx>; ?su@lo[12]\tb])\t]) " +
	"a.saccackageailainal al-alhallamaan an-andansap arcarearsartas ashasoassastat ateath" +
	"atiatuautaveay be be:be>beeberbitbjebleboubscby calcancatce ce:cedceicesch chachechi" +
	"chmck clicodcomconcorcoucrict:ct=d ad bd fd gd id sd td-td: datdeldenderdesdindogdro" +
	"dt)e\r\ne ae be ce fe ie me oe pe se te we, e-de-ie-ve: e>\neareceected ed-ed:edeeenefe" +
	"eivelieloelpen encendenteplequer er-er.er:ereermerrerses esmessestet et=etcetueveext" +
	"f tferfetfixforfrog\nrg\nxg (g [g tg: g>\ng>;ge ge-ghtginglegmah eh ih sh: hanharhathav" +
	"he helhenherhinhishivhmahnuhoshttibeicaid id:ienighigiil il-ileiliilliltimaimein in." +
	"in;inaincineinfinginiintionireis istit iteithiveix)jeckeyl-5l.ol: lailasld le le-lea" +
	"lholiclinlislivll ll.llalocloolp:lp>ltoly ly-m (m lm wm: m>\nma.maimanmapmasme me-mes" +
	"mimminmtpn an on tn, n-pn-rn.on: n; nalnatncencond ndene nednetnewnfong ng.ng:nglnin" +
	"no notnsfnsunt nt-ntantentinulo to: ocaodiof ogmom om/om:om>omeon on.on:oneontop)or " +
	"oreorgoriorkorsortostot oteou ounouroutovep (p ip);p: p:/p>\npampatpe:perplaplyporpos" +
	"preproquer <r tr-er: ranrchre re:rearecredrefrenrepreqresretrg\nrg rg>ribrigrmarn-rom" +
	"roprorrourrorsersis as is os ps ts ws, s: sagsasscrse sensersetsfeshnsinsioslasmtson" +
	"spass ssassist st)st-st.st:st>st@stastestfstistssubt (t [t at it ot st tt wt)\nt-ht-i" +
	"t-pt-st-tt-ut/pt: t=ht=st=ut>\nt>;taitattchte:tedtentertestextfith th:thathethitictin" +
	"tioto to:tp tp:trats ttettpturtypubjubsuesullultundunsunturnus-useusiustut uthve ved" +
	"velverwitworx) x-ax-bx-mx-oxt/y  y by ly my-ty: youype"
