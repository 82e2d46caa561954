// google-auth-library: sign-in with PKCE, ID token, refresh, 401, revocation.

import { control, given, library, refusal, report, signIn } from "./judge.mjs";

const { CodeChallengeMethod, OAuth2Client } = await library("google-auth-library");
const { web } = await control("GET", "client_secret.json");
const redirectUri = web.redirect_uris[0];
const scope = ["openid", "email", "profile", "https://www.googleapis.com/auth/drive.appdata"];

const client = new OAuth2Client({
  clientId: web.client_id,
  clientSecret: web.client_secret,
  redirectUri,
  forceRefreshOnFailure: true,
  issuers: [given.url],
  endpoints: {
    oauth2AuthBaseUrl: web.auth_uri,
    oauth2TokenUrl: web.token_uri,
    oauth2RevokeUrl: `${given.url}/revoke`,
    tokenInfoUrl: `${given.url}/tokeninfo`,
    oauth2FederatedSignonPemCertsUrl: web.auth_provider_x509_cert_url,
    oauth2FederatedSignonJwkCertsUrl: `${given.url}/oauth2/v3/certs`,
  },
});

const { codeVerifier, codeChallenge } = await client.generateCodeVerifierAsync();
const returned = await signIn(
  client.generateAuthUrl({
    access_type: "offline",
    scope,
    state: "the state",
    code_challenge_method: CodeChallengeMethod.S256,
    code_challenge: codeChallenge,
  }),
  given.email,
);
const code = returned.searchParams.get("code");
const unproved = await refusal(client.getToken({ code, codeVerifier: "x".repeat(43) }));

const again = await signIn(
  client.generateAuthUrl({
    access_type: "offline",
    prompt: "consent",
    scope,
    code_challenge_method: CodeChallengeMethod.S256,
    code_challenge: codeChallenge,
  }),
  given.email,
);
const { tokens } = await client.getToken({ code: again.searchParams.get("code"), codeVerifier });
client.setCredentials(tokens);

const ticket = await client.verifyIdToken({ idToken: tokens.id_token, audience: web.client_id });
const wrongAudience = await refusal(client.verifyIdToken({ idToken: tokens.id_token, audience: "another" }));
const info = await client.getTokenInfo(tokens.access_token);

// Five calls at once with a token that is over: one refresh.
client.setCredentials({ ...tokens, expiry_date: 1 });
const together = await Promise.all(Array.from({ length: 5 }, () => client.getAccessToken()));

// A token that the API refuses: one refresh, and the call is sent again.
await control("POST", "fault", { endpoint: "drive", name: "api_401", count: 1 });
const before = client.credentials.access_token;
const folder = await client.request({ url: `${given.url}/drive/v3/files/appfolder` });
const after = client.credentials.access_token;

const refreshToken = client.credentials.refresh_token;
const revoked = await client.revokeCredentials();
client.setCredentials({ refresh_token: refreshToken });
const dead = await refusal(client.getAccessToken());

report({
  state: returned.searchParams.get("state"),
  unproved: unproved?.response?.data?.error,
  token_type: tokens.token_type,
  scope: tokens.scope.split(" ").sort(),
  refresh_token: typeof tokens.refresh_token,
  expires_in_the_future: tokens.expiry_date > Date.now(),
  payload: ticket.getPayload(),
  user_id: ticket.getUserId(),
  wrong_audience: wrongAudience?.message,
  info: { aud: info.aud, email: info.email, scopes: info.scopes.sort() },
  together: new Set(together.map((answer) => answer.token)).size,
  folder: folder.data,
  replaced_after_401: before !== after,
  revoked: revoked.status,
  dead: dead?.response?.data?.error,
});
