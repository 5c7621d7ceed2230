// What the pages of the console can do better with a script. Every page works without it.
"use strict";

const root = document.documentElement.dataset;
const SOON = 30; // seconds before its end at which an access token is renewed

let expiresAt = 0;
let csrfToken = "";

// One tab renews at a time, because all tabs share the cookies.
function alone(name, work) {
  return navigator.locks ? navigator.locks.request(name, work) : work();
}

async function readSession() {
  const answer = await fetch(root.session, {headers: {Accept: "application/json"}});
  if (!answer.ok) return false;
  const session = await answer.json();
  expiresAt = Date.now() + session.expires_in * 1000;
  csrfToken = session.csrf_token;
  for (const field of document.querySelectorAll("input[name=csrf_token]")) field.value = csrfToken;
  return true;
}

async function renew() {
  if (root.refresh) {
    await alone("jwt-lp-console-session", async () => {
      // Another tab may have renewed it meanwhile.
      if ((await readSession()) && expiresAt - Date.now() > SOON * 1000) return;
      await fetch(root.refresh, {method: "POST"});
    });
  }
  return readSession();
}

async function keep() {
  let valid = false;
  try {
    valid = await (expiresAt - Date.now() < SOON * 1000 ? renew() : readSession());
  } catch {
    // Without a network the next turn tries again.
  }
  if (!valid) return window.setTimeout(keep, 60000);
  return window.setTimeout(keep, Math.max(5000, expiresAt - Date.now() - SOON * 1000));
}

// The session and the CSRF token for what a script sends itself; true while somebody is signed in.
async function fresh() {
  try {
    return ((await readSession()) && expiresAt - Date.now() > 5000) || (await renew());
  } catch {
    return false;
  }
}

// Other scripts of the console use these.
window.accessConsole = {
  async csrfToken() {
    await fresh();
    return csrfToken;
  },
  // Send a form's fields; resolves with the response. `fields` is a FormData or a plain object.
  async post(url, fields) {
    const body = new URLSearchParams(fields instanceof FormData ? fields : Object.entries(fields));
    body.set("csrf_token", await window.accessConsole.csrfToken());
    return fetch(url, {method: "POST", body, headers: {Accept: "text/html"}});
  },
  say(text) {
    const notices = document.getElementById("notices");
    const line = document.createElement("p");
    line.className = "notice";
    line.textContent = text;
    notices.replaceChildren(line);
  },
};

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post" || form.dataset.ready) return;
  const question = event.submitter?.dataset.confirm ?? form.dataset.confirm;
  if (question && !window.confirm(question)) {
    event.preventDefault();
    return;
  }
  if (form.dataset.signOut !== undefined) {
    event.preventDefault();
    await fetch(form.action, {method: "POST"});
    window.location.reload();
    return;
  }
  if (!form.elements.csrf_token || !root.session) return;
  // The token of the form may be older than the session, which another tab may have renewed.
  event.preventDefault();
  await fresh();
  form.dataset.ready = "1";
  form.requestSubmit(event.submitter);
  window.setTimeout(() => delete form.dataset.ready, 1000);
});

// A page that the browser kept shows an old CSRF token, and perhaps an old session.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) fresh();
});

// A notice is shown once: it goes out of the address, so that it does not come back with a reload.
const address = new URL(window.location);
if (address.searchParams.has("notice")) {
  address.searchParams.delete("notice");
  address.searchParams.delete("mark");
  window.history.replaceState(null, "", address);
}

// On a narrow screen the navigation is wider than the page.
document.querySelector(".top nav [aria-current]")?.scrollIntoView({block: "nearest", inline: "center"});

if (root.session) keep();
