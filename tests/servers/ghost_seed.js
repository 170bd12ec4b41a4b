// Makes the owner, an integration with an Admin API key, and made-up members in a fresh Ghost.
//   node ghost_seed.js URL MEMBERS KEY_FILE
const fs = require('fs'), crypto = require('crypto');
const [url, members, keyFile] = process.argv.slice(2);
const OWNER = {name: 'Test Owner', email: 'owner@example.com', password: 'Only-for-tests-2026!', blogTitle: 'Test'};
// The Admin API takes a member's attribution from the calling integration: one integration for each pretended channel.
const CHANNELS = ['Spring webinar', 'Ebook form', 'Trade fair list'];
const LABELS = ['webinar', 'demo-request', 'pricing-page', 'ebook'];
const FIRMS = ['alder', 'bracken', 'cedar', 'dogwood', 'elm'];
const FIRST = 'Ada Bram Cleo Dario Esme Finn Gita Hugo Iona Jonas Kaia Levi Mira Nils Odette Pavel Quinn Rhea Sami Tova Ugo Vera Wim Xenia Yara'.split(' ');
const LAST = 'Ashgrove Birkwell Coldharbour Dunmere Elderfen Foxley Grantham Hollin Ivers Jessop Kestrel'.split(' ');
let cookie = '';

async function call(method, path, body, key) {
  const auth = key ? {Authorization: 'Ghost ' + token(key)} : {Origin: url, Cookie: cookie};
  const headers = {'Content-Type': 'application/json', 'Accept-Version': 'v6.0', ...auth};
  const answer = await fetch(url + '/ghost/api/admin' + path, {method, headers, body: body && JSON.stringify(body)});
  for (const set of answer.headers.getSetCookie()) cookie = set.split(';')[0];
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text.slice(0, 300)}`);
  return text[0] === '{' ? JSON.parse(text) : text;
}

function token(key) {
  const [kid, secret] = key.split(':'), iat = Math.floor(Date.now() / 1000);
  const part = o => Buffer.from(JSON.stringify(o)).toString('base64url');
  const signed = part({alg: 'HS256', typ: 'JWT', kid}) + '.' + part({iat, exp: iat + 300, aud: '/admin/'});
  return signed + '.' + crypto.createHmac('sha256', Buffer.from(secret, 'hex')).update(signed).digest('base64url');
}

async function integration(name) {
  await call('POST', '/integrations/?include=api_keys', {integrations: [{name}]});
  const all = (await call('GET', '/integrations/?include=api_keys&limit=100')).integrations;
  return all.find(i => i.name === name).api_keys.find(k => k.type === 'admin').secret;
}

(async () => {
  await call('POST', '/authentication/setup/', {setup: [OWNER]});
  await call('POST', '/session/', {username: OWNER.email, password: OWNER.password});
  const key = await integration('headwater');
  const channels = [];
  for (const name of CHANNELS) channels.push(await integration(name));
  for (let n = 0; n < Number(members); n++) {
    const first = FIRST[n % 25], last = LAST[(n * 7 + Math.floor(n / 25)) % 11];
    const email = `${first}.${last}.${n + 1}@${FIRMS[n % 5]}.example.com`.toLowerCase();
    const labels = [LABELS[n % 4], ...(n % 3 ? [] : ['customer-event'])].map(name => ({name}));
    await call('POST', '/members/', {members: [{email, name: `${first} ${last}`, note: `Made-up person ${n + 1}`, labels}]}, channels[n % 3]);
  }
  fs.writeFileSync(keyFile, key + '\n', {mode: 0o600});
})().catch(e => { console.error('ghost: ' + e.message); process.exit(1); });
