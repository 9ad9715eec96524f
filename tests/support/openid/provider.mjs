// An OpenID Provider for tests: node-oidc-provider as it is, told on standard input what to change.
// Each line in is a JSON object, each line out the answer to it; the first line out says that it listens.
import { Provider } from 'oidc-provider';
import { generateKeyPairSync } from 'node:crypto';
import http from 'node:http';
import readline from 'node:readline';

// Standard output is for answers.
console.info = console.warn = console.log = console.error;

const [port, audience] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const state = { generation: 0, keys: [], accounts: {}, client: {}, clientRoles: [], claimsInIdToken: false };

function newKeys() {
  state.generation += 1;
  const made = [['rsa', { modulusLength: 2048 }, 'RS256'], ['ec', { namedCurve: 'P-256' }, 'ES256']];
  return made.map(([type, options, alg]) => ({
    ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }),
    kid: `${type}-${state.generation}`, alg, use: 'sig',
  }));
}

function account(ctx, id) {
  const claims = state.accounts[id];
  return claims && { accountId: id, claims: () => ({ sub: id, ...claims }) };
}

function build() {
  const resources = {
    enabled: true,
    defaultResource: () => undefined,
    useGrantedResource: () => true,
    getResourceServerInfo: (ctx, resource) => ({
      scope: 'api', audience: resource.startsWith('urn:other') ? 'other' : audience, accessTokenTTL: 600,
      accessTokenFormat: resource.endsWith(':opaque') ? 'opaque' : 'jwt', jwt: { sign: { alg: 'ES256' } },
    }),
  };
  const made = new Provider(issuer, {
    clients: [{
      client_id: 'reeve', client_secret: 'secret of reeve: 100% & more', response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
      redirect_uris: ['https://reeve.test/callback'], ...state.client,
    }],
    jwks: { keys: state.keys },
    scopes: ['openid', 'offline_access', 'email', 'profile', 'api'],
    claims: { openid: ['sub', 'sid'], email: ['email', 'email_verified'], profile: ['name', 'roles'] },
    conformIdTokenClaims: !state.claimsInIdToken,
    pkce: { required: () => true },
    features: {
      clientCredentials: { enabled: true }, introspection: { enabled: true }, revocation: { enabled: true },
      backchannelLogout: { enabled: true }, resourceIndicators: resources,
    },
    extraTokenClaims: (ctx, token) => ({ roles: token.accountId ? state.accounts[token.accountId]?.roles : state.clientRoles }),
    findAccount: account,
    // Its own guard against calls to this machine would keep it from telling the gateway under test.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    cookies: { keys: ['of the tests'] },
  });
  for (const event of ['server_error', 'backchannel.error', 'backchannel.success', 'end_session.error']) {
    made.on(event, (ctx, ...told) => console.error(event, ...told.filter((one) => one instanceof Error || typeof one === 'string')));
  }
  return made;
}

const commands = {
  configure: ({ changes }) => Object.assign(state, changes),
  // The new keys sign from now on; the old ones are still published.
  rotate: () => { state.keys = [...newKeys(), ...state.keys]; },
  retire: () => { state.keys = state.keys.slice(0, 2); },
};

state.keys = newKeys();
let provider = build();
http.createServer((request, response) => provider.callback()(request, response)).listen(Number(port), '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ issuer })}\n`);
});
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
  provider = build();
  process.stdout.write(`${JSON.stringify({ keys: state.keys.map((key) => key.kid) })}\n`);
}).on('close', () => process.exit(0));
