// What every judge shares: the library from .build/node, a user at the sign-in pages, one JSON answer.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

/** The emulator's address and whatever else the test passes, as JSON in the first argument. */
export const given = JSON.parse(process.argv[2]);

const require = createRequire(pathToFileURL(`${given.modules}/`));

/** A library by name; it is installed apart from these scripts. */
export async function library(name) {
  return import(pathToFileURL(require.resolve(name)));
}

/** A call to the emulator's control side. */
export async function control(method, path, body) {
  const response = await fetch(`${given.url}/emulator/${path}`, {
    method,
    headers: { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

/**
 * What a person does in a browser: opens the address, types the e-mail, ticks every box, continues.
 * Returns the address the browser is sent back to.
 */
export async function signIn(address, email) {
  const destination = new URL(address).searchParams.get("redirect_uri");
  const cookies = new Map();
  let form = new URLSearchParams();
  let method = "GET";
  for (let page = 0; page < 8; page += 1) {
    const response = await fetch(address, {
      method,
      redirect: "manual",
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") },
      body: method === "POST" ? form : undefined,
    });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      cookies.set(name, value);
    }
    const location = response.headers.get("location");
    if (location?.startsWith(destination)) return new URL(location);
    if (location !== null) {
      address = new URL(location, address);
      method = "GET";
      continue;
    }
    const html = await response.text();
    if (response.status !== 200) throw new Error(`the sign-in page answered ${response.status}: ${html}`);
    form = filled(html, email);
    address = new URL(/<form[^>]* action="([^"]*)"/.exec(html)[1].replaceAll("&amp;", "&"), address);
    method = "POST";
  }
  throw new Error("the sign-in pages do not end");
}

function filled(html, email) {
  const form = new URLSearchParams();
  for (const [tag] of html.matchAll(/<input[^>]*>/g)) {
    const attribute = (name) => new RegExp(` ${name}="([^"]*)"`).exec(tag)?.[1];
    const type = attribute("type");
    if (type === "hidden" && !form.has(attribute("name"))) form.append(attribute("name"), attribute("value"));
    if (type === "checkbox" && attribute("name") === "scope") form.append("scope", attribute("value"));
    if (attribute("name") === "email") form.set("email", email);
  }
  if (html.includes('name="decision"')) form.set("decision", "allow");
  return form;
}

/** What a promise is refused with, or null. */
export async function refusal(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return error;
  }
}

/** The whole output of a judge. */
export function report(result) {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
