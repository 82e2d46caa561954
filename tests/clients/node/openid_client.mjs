// openid-client: discovery, code with PKCE, nonce and state, ID token, user info, refresh, revocation.

import { control, given, library, refusal, report, signIn } from "./judge.mjs";

const client = await library("openid-client");
const { web } = await control("GET", "client_secret.json");
const insecure = { execute: [client.allowInsecureRequests] };

async function whole(authentication, email) {
  const config = await client.discovery(
    new URL(given.url),
    web.client_id,
    web.client_secret,
    authentication,
    insecure,
  );
  const verifier = client.randomPKCECodeVerifier();
  const nonce = client.randomNonce();
  const state = client.randomState();
  const address = client.buildAuthorizationUrl(config, {
    redirect_uri: web.redirect_uris[0],
    scope: "openid email profile https://www.googleapis.com/auth/drive.appdata",
    access_type: "offline",
    prompt: "consent",
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    nonce,
    state,
  });
  const returned = await signIn(address, email);
  const checks = { pkceCodeVerifier: verifier, expectedNonce: nonce, expectedState: state, idTokenExpected: true };
  const tokens = await client.authorizationCodeGrant(config, returned, checks);
  return { config, tokens, returned, checks };
}

const post = await whole(client.ClientSecretPost(web.client_secret), given.email);
const { config, tokens } = post;
const claims = tokens.claims();
const replayed = await refusal(client.authorizationCodeGrant(config, post.returned, post.checks));
const info = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token);
await client.tokenRevocation(config, tokens.refresh_token);
const dead = await refusal(client.refreshTokenGrant(config, tokens.refresh_token));
const unwelcome = await refusal(client.fetchUserInfo(config, refreshed.access_token, claims.sub));

// The same with the secret in an Authorization header, whose parts this library form-encodes.
const basic = await whole(client.ClientSecretBasic(web.client_secret), `basic.${given.email}`);
const wrongSecret = await client.discovery(
  new URL(given.url),
  web.client_id,
  "wrong",
  client.ClientSecretPost("wrong"),
  insecure,
);
const stranger = await refusal(client.refreshTokenGrant(wrongSecret, basic.tokens.refresh_token));

report({
  issuer: config.serverMetadata().issuer,
  iss_in_answer: post.returned.searchParams.get("iss"),
  claims: { iss: claims.iss, sub: claims.sub, aud: claims.aud, email: claims.email },
  scope: tokens.scope.split(" ").sort(),
  refresh_token: typeof tokens.refresh_token,
  replayed: replayed?.error,
  info: { sub: info.sub, email: info.email, name: info.name },
  refreshed: refreshed.access_token !== tokens.access_token,
  dead: dead?.error,
  unwelcome: unwelcome?.cause?.[0]?.parameters?.error ?? unwelcome?.message,
  basic: basic.tokens.claims().email,
  stranger: stranger?.status,
});
