// The part of Google Identity Services that asks for an authorization code:
// google.accounts.oauth2.initCodeClient(config).requestCode(), by popup or by redirect.
"use strict";
{
  const HOME = new URL(document.currentScript.src).origin;
  const CLOSED_CHECK_MS = 300;
  const ANSWER_GRACE_MS = 1000;

  const required = (config, name) => {
    if (typeof config[name] !== "string" || config[name] === "") {
      throw new TypeError(`initCodeClient: missing required parameter ${name}.`);
    }
    return config[name];
  };

  const parameters = (config, redirectUri) => {
    const query = new URLSearchParams({
      gsiwebsdk: "3",
      client_id: required(config, "client_id"),
      scope: required(config, "scope"),
      redirect_uri: redirectUri,
      response_type: "code",
      access_type: "offline",
      include_granted_scopes: String(config.include_granted_scopes !== false),
    });
    for (const name of ["state", "login_hint", "hd"]) {
      if (config[name]) query.set(name, config[name]);
    }
    if (config.select_account) query.set("prompt", "select_account");
    return query;
  };

  const authorizationUrl = (query) => `${HOME}/o/oauth2/v2/auth?${query}`;

  const popupName = () =>
    "auth" + Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join("");

  const fail = (config, type, message) => {
    if (typeof config.error_callback === "function") {
      const error = new Error(message);
      error.type = type;
      config.error_callback(error);
    }
  };

  const openPopup = (config) => {
    const name = popupName();
    const origin = new URL(location.href).origin;
    const redirectUri = `storagerelay://${origin.replace("://", "/")}?id=${name}`;
    const query = parameters(config, redirectUri);
    query.set("display", "popup");
    const left = Math.max(0, window.screenX + (window.outerWidth - 500) / 2);
    const top = Math.max(0, window.screenY + (window.outerHeight - 640) / 2);
    const popup = window.open(
      authorizationUrl(query), name, `width=500,height=640,left=${left},top=${top},resizable,scrollbars`);
    if (!popup) {
      fail(config, "popup_failed_to_open", "Failed to open popup window. Maybe blocked by the browser?");
      return;
    }
    popup.focus();

    let grace;
    const finish = () => {
      clearInterval(watch);
      clearTimeout(grace);
      window.removeEventListener("message", hear);
    };
    const hear = (event) => {
      const message = event.data;
      // A window that has closed meanwhile is no source any more; its name, which nobody else knows, is in the message.
      if (event.origin !== HOME || (event.source && event.source !== popup)) return;
      if (!message || message.type !== "emulator-authorization" || message.id !== name) return;
      finish();
      if (typeof config.callback === "function") config.callback(message.answer);
    };
    const watch = setInterval(() => {
      if (!popup.closed) return;
      clearInterval(watch);
      // It closes itself when it has answered, and on a busy machine the answer is still on its way.
      grace = setTimeout(() => {
        finish();
        fail(config, "popup_closed", "Popup window closed");
      }, ANSWER_GRACE_MS);
    }, CLOSED_CHECK_MS);
    window.addEventListener("message", hear);
  };

  const redirect = (config) => {
    const here = location.origin + location.pathname;
    location.assign(authorizationUrl(parameters(config, config.redirect_uri || here)));
  };

  const initCodeClient = (config) => {
    required(config, "client_id");
    required(config, "scope");
    const mode = config.ux_mode || "popup";
    if (mode !== "popup" && mode !== "redirect") {
      throw new TypeError(`initCodeClient: invalid ux_mode ${mode}.`);
    }
    const requestCode = () => {
      try {
        (mode === "redirect" ? redirect : openPopup)(config);
      } catch (error) {
        fail(config, "unknown", String(error));
      }
    };
    return { requestCode };
  };

  window.google = window.google || {};
  window.google.accounts = window.google.accounts || {};
  window.google.accounts.oauth2 = { ...window.google.accounts.oauth2, initCodeClient };
}
