// googleapis: Drive through `rootUrl`, and through our own discovery document.

import { Readable } from "node:stream";

import { control, given, library, refusal, report } from "./judge.mjs";

const { google } = await library("googleapis");
const { web } = await control("GET", "client_secret.json");
const scopes = ["openid", "email", "https://www.googleapis.com/auth/drive.appdata", "https://www.googleapis.com/auth/drive.file"];
const { code } = await control("POST", "code", {
  email: given.email,
  scopes,
  source: "web",
  redirect_uri: web.redirect_uris[0],
});

const auth = new google.auth.OAuth2({
  clientId: web.client_id,
  clientSecret: web.client_secret,
  redirectUri: web.redirect_uris[0],
  endpoints: { oauth2TokenUrl: web.token_uri },
});
auth.setCredentials((await auth.getToken(code)).tokens);

const rootUrl = `${given.url}/`;
const here = { rootUrl };
const drive = google.drive({ version: "v3", auth });

async function content(fileId) {
  const response = await drive.files.get({ fileId, alt: "media" }, { ...here, responseType: "arraybuffer" });
  return Buffer.from(response.data).toString("utf8");
}

const folder = (await drive.files.get({ fileId: "appfolder" }, here)).data;

const plain = await drive.files.create({ media: { mimeType: "text/plain", body: "plain" } }, here);
const multipart = await drive.files.create(
  {
    requestBody: { name: "text.txt", parents: ["appDataFolder"] },
    media: { mimeType: "text/plain", body: "a string\r\n" },
    fields: "id,name,size,spaces,md5Checksum",
  },
  here,
);
const streamed = await drive.files.create(
  {
    requestBody: { name: "stream.txt", parents: ["appDataFolder"] },
    media: { mimeType: "text/plain", body: Readable.from([Buffer.from("a "), Buffer.from("stream")]) },
  },
  here,
);

// A resumable upload: this library only begins it, the chunks are ours.
const big = Buffer.alloc(262144 + 5, "x");
const begun = await drive.files.create(
  { uploadType: "resumable", requestBody: { name: "big", parents: ["appDataFolder"] }, fields: "id,size" },
  { ...here, url: `${given.url}/upload/drive/v3/files` },
);
const session = begun.headers.get ? begun.headers.get("location") : begun.headers.location;
async function put(from, to) {
  return auth.request({
    url: session,
    method: "PUT",
    body: big.subarray(from, to),
    headers: { "Content-Range": `bytes ${from}-${to - 1}/${big.length}` },
    validateStatus: (status) => status === 308 || status === 200,
  });
}
const first = await put(0, 262144);
const last = await put(262144, big.length);

const updated = await drive.files.update(
  {
    fileId: multipart.data.id,
    requestBody: { name: "renamed.txt" },
    media: { mimeType: "text/plain", body: "changed" },
    fields: "name,size",
  },
  here,
);

const names = [];
let pageToken;
do {
  const page = await drive.files.list(
    { spaces: "appDataFolder", pageSize: 2, orderBy: "name", pageToken, fields: "nextPageToken,files(name)" },
    here,
  );
  names.push(...page.data.files.map((file) => file.name));
  pageToken = page.data.nextPageToken;
} while (pageToken);

const missing = await refusal(drive.files.get({ fileId: "nothing" }, here));
const deleted = await drive.files.delete({ fileId: streamed.data.id }, here);

// The same through the emulator's own document: no address is given with a call.
const discovered = await google.discoverAPI(`${given.url}/discovery/v1/apis/drive/v3/rest`, { auth });
const found = await discovered.files.list({ q: "name='big'", spaces: "appDataFolder" });
const uploaded = await discovered.files.create({
  requestBody: { name: "by document" },
  media: { mimeType: "text/plain", body: "document" },
});

report({
  folder: folder.name,
  plain: await content(plain.data.id),
  multipart: { ...multipart.data, id: typeof multipart.data.id },
  changed: await content(multipart.data.id),
  begun: begun.status,
  session: session.startsWith(given.url),
  first: { status: first.status, range: first.headers.get("range") },
  last: { status: last.status, size: last.data.size },
  updated: updated.data,
  names,
  missing: { code: missing?.code ?? missing?.status, reason: missing?.response?.data?.error?.errors?.[0]?.reason },
  deleted: deleted.status,
  found: found.data.files.map((file) => file.name),
  uploaded: await content(uploaded.data.id),
});
