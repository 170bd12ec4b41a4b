//! Small lists of mail domains and mailbox names, and the version under which a verdict was reached.
//!
//! Published lists differ up to twentyfold in size, so a verdict is worth little without the list it came from: scorecards name
//! this version. The lists hold what is common; they are meant to be right rather than long.

use std::sync::LazyLock;

use hashbrown::HashSet;

/// The version of all three lists.
pub const VERSION: &str = "2026-11";

const FREEMAIL: &str = "gmail.com googlemail.com yahoo.com yahoo.fr yahoo.de yahoo.es yahoo.it yahoo.co.uk yahoo.co.jp yahoo.ca \
yahoo.in ymail.com rocketmail.com outlook.com outlook.fr outlook.de outlook.es hotmail.com hotmail.fr hotmail.de hotmail.es \
hotmail.it hotmail.co.uk live.com live.fr live.de live.co.uk live.nl msn.com icloud.com me.com mac.com aol.com aol.de gmx.de \
gmx.net gmx.at gmx.ch gmx.com web.de t-online.de freenet.de arcor.de posteo.de mailbox.org proton.me protonmail.com pm.me \
tutanota.com tuta.io fastmail.com hey.com zoho.com mail.com email.com usa.com inbox.com orange.fr wanadoo.fr free.fr sfr.fr \
laposte.net bbox.fr neuf.fr numericable.fr libero.it virgilio.it tiscali.it alice.it tin.it telefonica.net terra.com.br uol.com.br \
bol.com.br ig.com.br btinternet.com sky.com virginmedia.com ntlworld.com talktalk.net blueyonder.co.uk comcast.net verizon.net \
att.net sbcglobal.net cox.net charter.net earthlink.net bellsouth.net shaw.ca rogers.com sympatico.ca bigpond.com optusnet.com.au \
xtra.co.nz wp.pl o2.pl onet.pl interia.pl op.pl seznam.cz centrum.cz azet.sk mail.ru yandex.ru yandex.com bk.ru list.ru inbox.ru \
rambler.ru ukr.net abv.bg mail.bg naver.com daum.net hanmail.net qq.com 163.com 126.com sina.com sohu.com foxmail.com rediffmail.com \
bluewin.ch hispeed.ch skynet.be telenet.be ziggo.nl kpnmail.nl planet.nl home.nl hetnet.nl online.no telia.com spray.se sapo.pt";

const DISPOSABLE: &str = "mailinator.com guerrillamail.com guerrillamail.net guerrillamail.org sharklasers.com grr.la 10minutemail.com \
10minutemail.net temp-mail.org tempmail.com tempmail.net tempmailo.com throwawaymail.com yopmail.com yopmail.fr yopmail.net \
trashmail.com trashmail.de trashmail.net getnada.com nada.email dispostable.com maildrop.cc mailnesia.com mintemail.com \
fakeinbox.com emailondeck.com mohmal.com moakt.com spamgourmet.com mytemp.email tempr.email discard.email burnermail.io \
mailcatch.com mail-temporaire.fr jetable.org wegwerfmail.de wegwerfmail.net spam4.me 33mail.com temp-mail.io mailsac.com inboxkitten.com \
1secmail.com 1secmail.net 1secmail.org fakemail.net tempinbox.com mailexpire.com spambox.us e4ward.com einrot.com cuvox.de";

const ROLE: &str = "info contact sales support admin administrator office hello team help helpdesk service services kontakt mail post \
webmaster postmaster hostmaster abuse noreply no-reply donotreply do-not-reply newsletter news marketing press presse media jobs job \
careers career recruiting recruitment hr rh billing invoice invoices accounting accounts comptabilite buchhaltung finance order orders \
bestellung bestellungen einkauf vertrieb verkauf enquiries enquiry inquiries inquiry reception accueil secretariat sekretariat empfang \
customerservice customercare customer-service kundenservice feedback privacy dataprotection datenschutz dpo gdpr legal compliance security \
it tech technik webshop shop store booking bookings reservations reservation events event partners partner partnerships procurement purchasing \
direction commercial ventas contacto informacion informatique zentrale mailbox root sysadmin all everyone staff";

fn set(words: &'static str) -> HashSet<&'static str> {
    words.split_ascii_whitespace().collect()
}

/// Whether a domain belongs to a free mail provider.
#[must_use]
pub fn is_freemail(domain: &str) -> bool {
    static SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set(FREEMAIL));
    SET.contains(domain)
}

/// Whether a domain gives out addresses to be thrown away.
#[must_use]
pub fn is_disposable(domain: &str) -> bool {
    static SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set(DISPOSABLE));
    SET.contains(domain)
}

/// Whether the part before the `@` names a function rather than a person; a tag after `+` does not count.
#[must_use]
pub fn is_role(local: &str) -> bool {
    static SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set(ROLE));
    SET.contains(local.split('+').next().unwrap_or(local))
}
